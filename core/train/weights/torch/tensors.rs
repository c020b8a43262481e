//! The tensors in a checkpoint's pickle: their layout in storages, and their names.

use super::{super::file::Numbers, Storages};
use crate::{
    input::MOST_LEVELS,
    pickle::{Id, MOST_OPERATIONS, Object, Pickle, Value},
};
use std::{collections::BTreeMap, io};

/// Largest number of tensors, and of bytes of their names.
const MOST_TENSORS: usize = 100_000;
const MOST_NAMES: usize = 64 << 20;
/// Largest number of bytes between the first and the last value of a tensor that is not contiguous.
const MOST_SPREAD: u64 = 1 << 30;

/// A tensor as the pickle describes it.
#[derive(Clone, Debug)]
pub(in super::super) struct Tensor {
    pub shape: Vec<usize>,
    /// Its data type; the error says what it is instead, after "the tensor".
    pub numbers: Result<Numbers, String>,
    /// The key of its storage.
    storage: String,
    /// Its first value there, and the strides.
    offset: u64,
    strides: Vec<u64>,
}

impl Tensor {
    fn unreadable(why: String) -> Self {
        Self { shape: vec![], numbers: Err(why), storage: String::new(), offset: 0, strides: vec![] }
    }

    /// A tensor whose storage is known by other means.
    pub fn new(
        storage: &str,
        numbers: Result<Numbers, String>,
        offset: u64,
        shape: Vec<usize>,
        strides: Vec<u64>,
    ) -> Self {
        Self { shape, numbers, storage: storage.to_owned(), offset, strides }
    }

    /// Its bytes in row-major order, `size` per value.
    pub fn bytes(&self, storages: &Storages, size: u64) -> io::Result<Vec<u8>> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let far = || wrong("its shape and strides reach beyond any file");
        if self.shape.contains(&0) {
            return Ok(vec![]);
        }
        let count = self.shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side as u64)).ok_or_else(far)?;
        let reach = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(1u64, |reach, (&side, stride)| reach.checked_add((side as u64 - 1).checked_mul(*stride)?));
        let length = reach.and_then(|reach| reach.checked_mul(size)).ok_or_else(far)?;
        let from = self.offset.checked_mul(size).ok_or_else(far)?;
        if self.is_contiguous() {
            return storages.read(&self.storage, from, length);
        }
        if length > MOST_SPREAD || count.checked_mul(size).is_none_or(|bytes| bytes > MOST_SPREAD) {
            return Err(wrong("it is a view of more than 1 GiB; save tensor.contiguous()"));
        }
        let spread = storages.read(&self.storage, from, length)?;
        let size = size as usize;
        let mut bytes = Vec::with_capacity(count as usize * size);
        let mut place = vec![0; self.shape.len()];
        for _ in 0..count {
            let at: u64 = place.iter().zip(&self.strides).map(|(place, stride)| place * stride).sum();
            bytes.extend_from_slice(&spread[at as usize * size..][..size]);
            for (place, &side) in place.iter_mut().zip(&self.shape).rev() {
                *place += 1;
                if *place < side as u64 {
                    break;
                }
                *place = 0;
            }
        }
        Ok(bytes)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&side, &stride)| {
            let fits = side == 1 || stride == expected;
            expected = expected.saturating_mul(side as u64);
            fits
        })
    }
}

/// All tensors under a pickle's root by name: keys and indices on the path to them, joined by dots. Values that are not
/// tensors, dicts, lists or networks are ignored. `outside` has the tensors that the pickle refers to by key.
pub(super) fn all(pickle: &Pickle, outside: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, String> {
    let mut walk = Walk { pickle, outside, path: vec![], looked_at: 0, names: 0, found: BTreeMap::new() };
    walk.visit(pickle.root(), MOST_LEVELS)?;
    Ok(walk.found)
}

struct Walk<'p> {
    pickle: &'p Pickle<'p>,
    outside: &'p BTreeMap<String, Tensor>,
    path: Vec<String>,
    looked_at: usize,
    /// Bytes of the names so far.
    names: usize,
    found: BTreeMap<String, Tensor>,
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, levels: usize) -> Result<(), String> {
        self.looked_at += 1;
        if self.looked_at > MOST_OPERATIONS {
            return Err("its dicts and lists hold each other over and over".to_owned());
        }
        if !matches!(
            self.pickle.value(id),
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::Object(_) | Value::Outside(_)
        ) {
            return Ok(());
        }
        if let Some(tensor) = tensor(self.pickle, id, self.outside, 8) {
            return self.keep(tensor);
        }
        if levels == 0 {
            return Ok(());
        }
        let pickle = self.pickle;
        if let Some(state) = network(pickle, id) {
            return self.visit_network(state, levels - 1);
        }
        if let Some(pairs) = pickle.pairs(id) {
            for &(key, value) in pairs {
                let key = pickle.text(key).map(str::to_owned).or_else(|| pickle.int(key).map(|key| key.to_string()));
                // Other keys cannot be part of a name.
                if let Some(key) = key {
                    self.below(key, value, levels - 1)?;
                }
            }
        } else if let Some(items) = pickle.items(id) {
            for (place, &item) in items.iter().enumerate() {
                self.below(place.to_string(), item, levels - 1)?;
            }
        }
        Ok(())
    }

    fn below(&mut self, key: String, value: Id, levels: usize) -> Result<(), String> {
        self.path.push(key);
        self.visit(value, levels)?;
        self.path.pop();
        Ok(())
    }

    /// The `state_dict()` of a network: its parameters, its persistent buffers, and those of its submodules.
    fn visit_network(&mut self, state: Id, levels: usize) -> Result<(), String> {
        let pickle = self.pickle;
        let pairs = |key: &str| pickle.get(state, key).and_then(|id| pickle.pairs(id)).unwrap_or_default();
        let left_out: Vec<&str> = pickle
            .get(state, "_non_persistent_buffers_set")
            .map(|set| match pickle.value(set) {
                Value::Set(items) => items.as_slice(),
                Value::Object(object) => {
                    let arguments = pickle.items(object.arguments).and_then(|arguments| arguments.first());
                    arguments.and_then(|&list| pickle.items(list)).unwrap_or_default()
                }
                _ => &[],
            })
            .unwrap_or_default()
            .iter()
            .filter_map(|&name| pickle.text(name))
            .collect();
        for (kind, kept) in [("_parameters", &[][..]), ("_buffers", &left_out), ("_modules", &[])] {
            for &(key, value) in pairs(kind) {
                if let Some(key) = pickle.text(key).filter(|key| !kept.contains(key)) {
                    self.below(key.to_owned(), value, levels)?;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, tensor: Tensor) -> Result<(), String> {
        let name = self.path.join(".");
        self.names += name.len();
        if self.found.len() == MOST_TENSORS || self.names > MOST_NAMES {
            return Err(format!("it holds more than {MOST_TENSORS} tensors, or names of more than 64 MiB"));
        }
        self.found.insert(name, tensor);
        Ok(())
    }
}

/// The attributes of a saved network (`torch.save(model)`).
fn network(pickle: &Pickle, id: Id) -> Option<Id> {
    let Value::Object(object) = pickle.value(id) else { return None };
    let state = object.state?;
    // With `__slots__` it is a tuple of two.
    let state = match pickle.value(state) {
        Value::Tuple(items) => *items.first()?,
        _ => state,
    };
    ["_parameters", "_modules"].iter().all(|key| pickle.get(state, key).is_some()).then_some(state)
}

/// The tensor of a value, if it is one. It may be wrapped in calls, a few levels deep at most.
fn tensor(pickle: &Pickle, id: Id, outside: &BTreeMap<String, Tensor>, levels: usize) -> Option<Tensor> {
    let object = match pickle.value(id) {
        Value::Object(object) => object,
        Value::Outside(key) => return outside.get(&key_text(pickle, *key)?).cloned(),
        _ => return None,
    };
    let (module, name) = pickle.name(object.maker)?;
    let arguments = pickle.items(object.arguments).unwrap_or_default();
    let inner = |place: usize| arguments.get(place).filter(|_| levels > 0);
    match (module, name) {
        ("torch._tensor", "_rebuild_from_type_v2") => {
            // The tensor is made by the first argument from the third.
            let (&maker, &arguments) = (arguments.first()?, arguments.get(2)?);
            rebuilt(pickle, &Object { maker, arguments, ..Object::clone(object) })
        }
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            tensor(pickle, *inner(0)?, outside, levels - 1)
        }
        (_, "Parameter" | "Buffer" | "Variable") if module == "torch" || module.starts_with("torch.") => {
            tensor(pickle, *inner(0)?, outside, levels - 1)
        }
        _ => rebuilt(pickle, object),
    }
}

/// The tensor that a function of PyTorch makes.
fn rebuilt(pickle: &Pickle, object: &Object) -> Option<Tensor> {
    let (module, name) = pickle.name(object.maker)?;
    if module != "torch._utils" || !name.starts_with("_rebuild_") {
        return None;
    }
    if !["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"].contains(&name) {
        return Some(Tensor::unreadable(format!("is of a kind that is not read here ({module}.{name})")));
    }
    let described = || -> Option<Tensor> {
        let arguments = pickle.items(object.arguments)?;
        let &[storage, offset, shape, strides, ..] = arguments else { return None };
        let whole = |id: &Id| pickle.int(*id).and_then(|number| u64::try_from(number).ok());
        let shape: Vec<usize> =
            pickle.items(shape)?.iter().map(|side| whole(side)?.try_into().ok()).collect::<Option<_>>()?;
        let strides: Vec<u64> = pickle.items(strides)?.iter().map(whole).collect::<Option<_>>()?;
        let Value::Outside(key) = *pickle.value(storage) else { return None };
        let Storage { key, kind, view, .. } = Storage::of(pickle, key)?;
        // The third form has untyped storages, and its own data type.
        let kind = match name {
            "_rebuild_tensor_v3" => pickle.name(*arguments.get(6)?)?.1,
            _ => kind,
        };
        let offset = whole(&offset)?.checked_add(view)?;
        let numbers = Numbers::of(kind).map_err(|kind| format!("holds {kind}, not floating-point numbers"));
        (shape.len() == strides.len()).then(|| Tensor::new(&key, numbers, offset, shape, strides))
    };
    Some(described().unwrap_or_else(|| Tensor::unreadable("is described in a way that makes no sense".to_owned())))
}

/// A storage as a pickle names it: `("storage", type, key, device, length, view)`.
pub(super) struct Storage<'p> {
    pub key: String,
    /// `FloatStorage` and similar.
    pub kind: &'p str,
    /// Its offset, if it is part of another storage.
    view: u64,
}

impl<'p> Storage<'p> {
    pub fn of(pickle: &'p Pickle, id: Id) -> Option<Self> {
        let &[word, kind, key, _, _, ref rest @ ..] = pickle.items(id)? else { return None };
        if pickle.text(word) != Some("storage") {
            return None;
        }
        let view = rest.first().and_then(|&view| pickle.items(view)).and_then(|view| pickle.int(*view.get(1)?));
        let view = u64::try_from(view.unwrap_or(0)).ok()?;
        Some(Self { key: key_text(pickle, key)?, kind: pickle.name(kind)?.1, view })
    }
}

/// A key, which is text or an integer.
pub(super) fn key_text(pickle: &Pickle, id: Id) -> Option<String> {
    pickle.text(id).map(str::to_owned).or_else(|| pickle.int(id).map(|key| key.to_string()))
}
