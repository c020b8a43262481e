//! The stack machine that a pickle is a program for: a stack of values, marks in it, and a memo of values used again.
//! `pickletools` in Python's library describes every operation.

use super::{Id, Object, Pickle, PickleError, Value, scalars};
use std::{borrow::Cow, collections::HashMap};

/// Maximum number of operations of a pickle. A network's state dict has some 40 per tensor, an indicator file 12 per
/// layer and bit-width. Each takes at most a hundred bytes of memory.
pub const MOST_OPERATIONS: usize = 4 << 20;

/// How names of classes and functions are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// They are refused, except for those of Python's own dicts.
    Refused,
    /// They are kept as names; what they would make is an [`Object`].
    Opaque,
}

/// Reads the pickle at the start of these bytes.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(bytes: &[u8], names: Names) -> Result<Pickle<'_>, PickleError> {
    let mut machine = Machine {
        bytes,
        at: 0,
        start: 0,
        names,
        values: vec![],
        stack: vec![],
        marks: vec![],
        record: HashMap::new(),
        operations: 0,
    };
    let root = machine.run()?;
    Ok(Pickle { values: machine.values, root, length: machine.at })
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Offset of the current operation.
    start: usize,
    names: Names,
    values: Vec<Value<'b>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    record: HashMap<u64, Id>,
    operations: usize,
}

type Done = Result<(), PickleError>;

impl<'b> Machine<'b> {
    fn run(&mut self) -> Result<Id, PickleError> {
        loop {
            self.start = self.at;
            let operation = self.take(1)?[0];
            self.count(1)?;
            match operation {
                b'.' => return self.pop(),
                // The protocol, and a frame's length: neither changes anything.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Value::None),
                0x88 => self.push(Value::Bool(true)),
                0x89 => self.push(Value::Bool(false)),
                b'}' => self.push(Value::Dict(vec![])),
                b']' => self.push(Value::List(vec![])),
                b')' => self.push(Value::Tuple(vec![])),
                b'K' | b'M' | b'J' | b'G' | 0x8a | 0x8b | b'I' | b'L' | b'F' => self.number(operation)?,
                b'U' | b'T' | b'C' | b'B' | b'X' | b'S' | b'V' | 0x8c..=0x8e | 0x96 => self.string(operation)?,
                b'q' | b'r' | b'p' | b'h' | b'j' | b'g' | 0x94 => self.recorded(operation)?,
                b't' | b'l' | b'd' | 0x85..=0x87 => self.container(operation)?,
                b's' | b'u' | b'a' | b'e' => self.add(operation)?,
                b'c' | 0x93 => self.name(operation)?,
                b'R' => self.call()?,
                b'b' => self.build()?,
                _ if self.names == Names::Refused => return Err(self.foreign(operation)),
                b'i' | b'o' | 0x81 | 0x92 => self.make(operation)?,
                0x8f => self.push(Value::Set(vec![])),
                0x90 => self.add_to_set()?,
                0x91 => {
                    let items = self.above_mark()?;
                    self.push(Value::Set(items));
                }
                b'P' => {
                    let key = Value::Text(String::from_utf8_lossy(self.line()?));
                    let key = self.add_value(key);
                    self.push(Value::Outside(key));
                }
                b'Q' => {
                    let key = self.pop()?;
                    self.push(Value::Outside(key));
                }
                b'0' => match self.marks.last() {
                    Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
                    _ => drop(self.pop()?),
                },
                b'1' => drop(self.above_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                // Values from extension registries, or from buffers outside the pickle.
                _ => return Err(self.foreign(operation)),
            }
        }
    }

    fn number(&mut self, operation: u8) -> Done {
        let value = match operation {
            b'K' => Value::Int(self.take(1)?[0].into()),
            b'M' => Value::Int(self.length(2)? as i64),
            b'J' => Value::Int(i32::from_le_bytes(self.four()?).into()),
            b'G' => Value::Float(f64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes"))),
            0x8a | 0x8b => {
                let length = self.length(if operation == 0x8a { 1 } else { 4 })?;
                scalars::long(self.take(length)?)
            }
            b'F' => scalars::float(self.line()?, self.start)?,
            _ => scalars::decimal(self.line()?, self.start)?,
        };
        self.push(value);
        Ok(())
    }

    fn string(&mut self, operation: u8) -> Done {
        let value = match operation {
            b'S' => scalars::quoted(self.line()?, self.start)?,
            b'V' => scalars::raw_unicode(self.line()?, self.start)?,
            _ => {
                let width = match operation {
                    b'U' | b'C' | 0x8c => 1,
                    b'T' | b'B' | b'X' => 4,
                    _ => 8,
                };
                let length = self.length(width)?;
                let bytes = self.take(length)?;
                match operation {
                    b'X' | 0x8c | 0x8d => Value::Text(String::from_utf8_lossy(bytes)),
                    _ => Value::Bytes(Cow::Borrowed(bytes)),
                }
            }
        };
        self.push(value);
        Ok(())
    }

    /// Stores the current value in the memo, or fetches one from it.
    fn recorded(&mut self, operation: u8) -> Done {
        let key = match operation {
            b'q' | b'h' => self.take(1)?[0].into(),
            b'r' | b'j' => u32::from_le_bytes(self.four()?).into(),
            0x94 => self.record.len() as u64,
            _ => {
                let digits = std::str::from_utf8(self.line()?).ok();
                digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| self.damaged("this is not a memo index"))?
            }
        };
        if b"hjg".contains(&operation) {
            let found = self.record.get(&key).copied();
            self.stack.push(found.ok_or_else(|| self.damaged("it refers to a value that is not there"))?);
        } else {
            let top = self.top()?;
            self.record.insert(key, top);
        }
        Ok(())
    }

    fn container(&mut self, operation: u8) -> Done {
        let items = match operation {
            0x85..=0x87 => {
                let count = usize::from(operation - 0x84);
                let floor = self.stack.len().checked_sub(count).filter(|&floor| floor >= self.floor());
                self.stack.split_off(floor.ok_or_else(|| self.damaged("a value is missing"))?)
            }
            _ => self.above_mark()?,
        };
        let value = match operation {
            b'l' => Value::List(items),
            b'd' => Value::Dict(self.paired(&items)?),
            _ => Value::Tuple(items),
        };
        self.push(value);
        Ok(())
    }

    /// Adds items to the list or dict below them.
    fn add(&mut self, operation: u8) -> Done {
        let mut items = match operation {
            b's' => vec![self.pop()?, self.pop()?],
            b'a' => vec![self.pop()?],
            _ => self.above_mark()?,
        };
        let below = self.top()?;
        if operation == b's' {
            items.reverse();
        }
        if b"ae".contains(&operation) {
            match &mut self.values[below.0 as usize] {
                Value::List(list) => list.extend(items),
                Value::Object(object) => object.items.extend(items),
                _ => return Err(self.damaged("items are appended to something that is not a list")),
            }
        } else {
            let pairs = self.paired(&items)?;
            match &mut self.values[below.0 as usize] {
                Value::Dict(dict) => dict.extend(pairs),
                Value::Object(object) => object.pairs.extend(pairs),
                _ => return Err(self.damaged("keys are set in something that is not a dict")),
            }
        }
        Ok(())
    }

    fn add_to_set(&mut self) -> Done {
        let items = self.above_mark()?;
        let below = self.top()?;
        match &mut self.values[below.0 as usize] {
            Value::Set(set) => set.extend(items),
            Value::Object(object) => object.items.extend(items),
            _ => return Err(self.damaged("items are put into something that is not a set")),
        }
        Ok(())
    }

    fn name(&mut self, operation: u8) -> Done {
        let (module, name) = if operation == 0x93 {
            let name = self.pop()?;
            (self.pop()?, name)
        } else {
            self.two_lines()?
        };
        let [module_text, name_text] = [module, name].map(|id| match &self.values[id.0 as usize] {
            Value::Text(text) => Some(&**text),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        });
        let (Some(module_text), Some(name_text)) = (module_text, name_text) else {
            return Err(self.damaged("a name is not text"));
        };
        if self.names == Names::Refused && !harmless(module_text, name_text) {
            return Err(PickleError::Call(format!("{module_text}.{name_text}")));
        }
        self.push(Value::Name { module, name });
        Ok(())
    }

    /// Module and name as two lines of text.
    fn two_lines(&mut self) -> Result<(Id, Id), PickleError> {
        let [module, name] = [self.line()?, self.line()?].map(String::from_utf8_lossy);
        Ok((self.add_value(Value::Text(module)), self.add_value(Value::Text(name))))
    }

    /// Calls a class or function. Python's own dicts and bytes are made; everything else is an object.
    fn call(&mut self) -> Done {
        let (arguments, maker) = (self.pop()?, self.pop()?);
        let plain = match self.dict_of(maker, arguments)? {
            Some(dict) => Some(dict),
            None => self.bytes_of(maker, arguments)?,
        };
        let value = match plain {
            Some(value) => value,
            None if self.names == Names::Refused => {
                return Err(PickleError::Call("a function on its data".to_owned()));
            }
            None => object(maker, arguments),
        };
        self.push(value);
        Ok(())
    }

    /// The dict that a call makes, if it is one of Python's own: empty, or from a list of pairs.
    fn dict_of(&mut self, maker: Id, arguments: Id) -> Result<Option<Value<'b>>, PickleError> {
        let Value::Name { module, name } = self.values[maker.0 as usize] else { return Ok(None) };
        let Value::Tuple(arguments) = &self.values[arguments.0 as usize] else { return Ok(None) };
        let pairs = match (self.text(module), self.text(name), &arguments[..]) {
            ("collections", "OrderedDict", []) | ("collections", "defaultdict", [] | [_]) => vec![],
            ("collections", "OrderedDict", [list]) => {
                let Value::List(list) = &self.values[list.0 as usize] else { return Ok(None) };
                let pair = |id: &Id| match &self.values[id.0 as usize] {
                    Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
                    _ => None,
                };
                match list.iter().map(pair).collect::<Option<Vec<_>>>() {
                    Some(pairs) => pairs,
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        // One list can be named by many calls.
        self.count(pairs.len())?;
        Ok(Some(Value::Dict(pairs)))
    }

    /// The bytes that Python 3 writes as a call of `_codecs.encode` in the protocols of Python 2.
    fn bytes_of(&mut self, maker: Id, arguments: Id) -> Result<Option<Value<'b>>, PickleError> {
        /// One text can be named by many calls, so that bytes count, too.
        const BYTES_IN_AN_OPERATION: usize = 64;
        let Value::Name { module, name } = self.values[maker.0 as usize] else { return Ok(None) };
        let Value::Tuple(arguments) = &self.values[arguments.0 as usize] else { return Ok(None) };
        let &[text, codec] = &arguments[..] else { return Ok(None) };
        if [module, name, codec].map(|id| self.text(id)) != ["_codecs", "encode", "latin1"] {
            return Ok(None);
        }
        let Value::Text(text) = &self.values[text.0 as usize] else { return Ok(None) };
        let Ok(bytes) = text.chars().map(u8::try_from).collect::<Result<Vec<u8>, _>>() else { return Ok(None) };
        self.count(bytes.len() / BYTES_IN_AN_OPERATION)?;
        Ok(Some(Value::Bytes(bytes.into())))
    }

    /// A value's text; empty if it is not text.
    fn text(&self, id: Id) -> &str {
        match &self.values[id.0 as usize] {
            Value::Text(text) => text,
            Value::Bytes(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            _ => "",
        }
    }

    /// Sets attributes. Those of dicts and lists do not affect their contents.
    fn build(&mut self) -> Done {
        let state = self.pop()?;
        let top = self.top()?;
        if let Value::Object(object) = &mut self.values[top.0 as usize] {
            object.state = Some(state);
        }
        Ok(())
    }

    /// Makes an object of a class.
    fn make(&mut self, operation: u8) -> Done {
        let (maker, arguments) = match operation {
            b'i' => {
                let (module, name) = self.two_lines()?;
                let items = self.above_mark()?;
                (self.add_value(Value::Name { module, name }), self.add_value(Value::Tuple(items)))
            }
            b'o' => {
                let mut items = self.above_mark()?;
                if items.is_empty() {
                    return Err(self.damaged("an object has no class"));
                }
                let maker = items.remove(0);
                (maker, self.add_value(Value::Tuple(items)))
            }
            _ => {
                // Keyword arguments are not needed.
                if operation == 0x92 {
                    self.pop()?;
                }
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
        };
        self.push(object(maker, arguments));
        Ok(())
    }

    fn paired(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, PickleError> {
        let (pairs, rest) = items.as_chunks();
        match rest.is_empty() {
            true => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            false => Err(self.damaged("a key has no value")),
        }
    }

    fn count(&mut self, operations: usize) -> Done {
        self.operations += operations;
        if self.operations > MOST_OPERATIONS { Err(PickleError::Long) } else { Ok(()) }
    }

    fn add_value(&mut self, value: Value<'b>) -> Id {
        self.values.push(value);
        Id(u32::try_from(self.values.len() - 1).expect("there are a few for each of the counted operations"))
    }

    fn push(&mut self, value: Value<'b>) {
        let id = self.add_value(value);
        self.stack.push(id);
    }

    /// How far down the stack operations may reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, PickleError> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        top.copied().ok_or_else(|| self.damaged("a value is missing"))
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.damaged("a mark is missing")),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], PickleError> {
        let taken = self.bytes[self.at..].get(..count).ok_or(PickleError::Early)?;
        self.at += count;
        Ok(taken)
    }

    fn four(&mut self) -> Result<[u8; 4], PickleError> {
        Ok(self.take(4)?.try_into().expect("four bytes"))
    }

    /// A length of `count` bytes.
    fn length(&mut self, width: usize) -> Result<usize, PickleError> {
        let length = self.take(width)?.iter().rev().fold(0u64, |length, &byte| length << 8 | u64::from(byte));
        usize::try_from(length).map_err(|_| PickleError::Early)
    }

    /// The bytes up to the end of the line.
    fn line(&mut self) -> Result<&'b [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or(PickleError::Early)?;
        self.at += end + 1;
        Ok(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
    }

    fn damaged(&self, why: &'static str) -> PickleError {
        PickleError::Damaged { at: self.start, why }
    }

    fn foreign(&self, operation: u8) -> PickleError {
        match operation {
            b'i' | b'o' | 0x81 | 0x92 | 0x82..=0x84 | b'P' | b'Q' => PickleError::Call("Python code".to_owned()),
            _ => PickleError::Foreign { at: self.start, operation },
        }
    }
}

/// Python's own dicts, and the factories of a `defaultdict`.
fn harmless(module: &str, name: &str) -> bool {
    match module {
        "collections" => ["OrderedDict", "defaultdict"].contains(&name),
        "builtins" | "__builtin__" => ["dict", "list", "float", "int", "str"].contains(&name),
        _ => false,
    }
}

fn object<'b>(maker: Id, arguments: Id) -> Value<'b> {
    Value::Object(Box::new(Object { maker, arguments, items: vec![], pairs: vec![], state: None }))
}
