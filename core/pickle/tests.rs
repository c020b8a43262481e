//! Tests on what Python writes (tests/golden/pickles.py made the files), and on what it never would.

use super::*;
use std::path::Path;

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pickles").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn error(bytes: &[u8], names: Names) -> String {
    read(bytes, names).unwrap_err().to_string()
}

#[test]
fn every_protocol_holds_the_same() {
    for protocol in 0..6 {
        let bytes = golden(&format!("protocol{protocol}.pkl"));
        let pickle = read(&bytes, Names::Opaque).unwrap();
        assert_eq!(pickle.length, bytes.len());
        let root = pickle.root();
        let of = |key: &str| pickle.get(root, key).unwrap_or_else(|| panic!("{protocol}: {key}"));
        let value = |key: &str| pickle.value(of(key)).clone();
        assert_eq!(
            [value("none"), value("true"), value("false")],
            [Value::None, Value::Bool(true), Value::Bool(false)]
        );
        let ints: Vec<_> = pickle.items(of("ints")).unwrap().iter().map(|&id| pickle.int(id).unwrap()).collect();
        assert_eq!(ints, [0, 255, 65535, -1, 1 << 40, -(1 << 40)], "{protocol}");
        assert!(matches!(value("long"), Value::Long(_)));
        assert_eq!(value("float"), Value::Float(0.1));
        assert_eq!(pickle.text(of("text")), Some("Gr\u{fc}\u{df}e, \u{20ac} \u{1f600} 'a'\n\\u0041"), "{protocol}");
        let lengths: Vec<_> =
            pickle.items(of("tuples")).unwrap().iter().map(|&id| pickle.items(id).unwrap().len()).collect();
        assert_eq!(lengths, [0, 1, 2, 3, 4]);
        let pairs = |key: &str| -> Vec<_> {
            let pairs = pickle.pairs(of(key)).unwrap().iter();
            pairs.map(|&(key, value)| (pickle.text(key).unwrap(), pickle.described(value))).collect()
        };
        assert_eq!(pairs("ordered"), [("b", "1".to_owned()), ("a", "2".to_owned())], "{protocol}");
        assert_eq!(pairs("default"), [("x", "1.5".to_owned())]);
        let twice = pickle.items(of("twice")).unwrap();
        assert_eq!(twice[0], twice[1], "shared values are held once");
        let itself = pickle.items(of("itself")).unwrap();
        assert_eq!(itself[1], of("itself"));
    }
}

#[test]
fn python_s_own_dicts_are_plain_data() {
    for protocol in 2..6 {
        let bytes = golden(&format!("protocol{protocol}.pkl"));
        // The empty bytes are a call of `bytes` before protocol 3.
        assert_eq!(read(&bytes, Names::Refused).is_ok(), protocol > 2, "{protocol}");
    }
    assert_eq!(error(b"cos\nsystem\n(S'a'\ntR.", Names::Refused), "it wants to call os.system");
    assert_eq!(error(b"\x8c\x02os\x8c\x06system\x93.", Names::Refused), "it wants to call os.system");
    assert_eq!(error(b"(ios\nsystem\n.", Names::Refused), "it wants to call Python code");
    assert!(error(b"]\x8f.", Names::Refused).contains("its byte 1, 0x8f"));
}

#[test]
fn code_is_a_name() {
    let pickle = read(b"cos\nsystem\n(S'touch x'\ntR.", Names::Opaque).unwrap();
    let Value::Object(object) = pickle.value(pickle.root()) else { panic!() };
    assert_eq!(pickle.name(object.maker), Some(("os", "system")));
    assert_eq!(pickle.described(pickle.root()), "an object of os.system");
    assert_eq!(pickle.text(pickle.items(object.arguments).unwrap()[0]), Some("touch x"));
}

#[test]
fn python_2_s_strings() {
    let of = |bytes: &'static [u8]| {
        let pickle = read(bytes, Names::Refused).unwrap();
        pickle.value(pickle.root()).clone()
    };
    let bytes = |bytes: &'static [u8]| Value::Bytes(Cow::Borrowed(bytes));
    assert_eq!(of(b"S'it\\'s \\x41\\n'\n."), bytes(b"it's A\n"));
    assert_eq!(of(b"S\"plain\"\n."), bytes(b"plain"));
    assert_eq!(of(b"U\x03abc."), bytes(b"abc"));
    assert_eq!(of(b"I01\n."), Value::Bool(true));
    assert_eq!(of(b"L-7L\n."), Value::Int(-7));
    assert_eq!(of(b"F1e3\n."), Value::Float(1000.0));
}

/// A million operations in a few bytes each: neither stack nor memory may grow with how the values lie in one another.
#[test]
fn hostile_pickles_end_in_an_error_or_stay_small() {
    let million = 1_000_000;
    // Lists in one another, by tuples of one and by appending.
    let tuples = [vec![b'N'], vec![0x85; million], vec![b'.']].concat();
    assert_eq!(read(&tuples, Names::Refused).unwrap().values().len(), million + 1);
    let lists = [vec![b']'; million], vec![b'a'; million - 1], vec![b'.']].concat();
    assert_eq!(read(&lists, Names::Refused).unwrap().values().len(), million);
    // Each list holds the one before twice: 2^40 values for whoever would write them out.
    let mut doubling = b"]q\x00".to_vec();
    for _ in 0..40 {
        doubling.extend(b"0]q\x01(h\x00h\x00e2q\x00");
    }
    doubling.push(b'.');
    assert_eq!(read(&doubling, Names::Opaque).unwrap().values().len(), 41);
    let long = [vec![b'N'; MOST_OPERATIONS], vec![b'.']].concat();
    assert_eq!(error(&long, Names::Opaque), "it holds more than 4194304 values, the most that is read");
    // One list of pairs, and thousands of dicts made from it.
    let mut copies = b"ccollections\nOrderedDict\nq\x00](".to_vec();
    (0..5000).for_each(|_| copies.extend(b"K\x00K\x00\x86"));
    copies.extend(b"eq\x01");
    (0..5000).for_each(|_| copies.extend(b"h\x00h\x01\x85R"));
    assert!(error(&copies, Names::Refused).contains("more than 4194304 values"));
    // A number of a million digits; converted to binary it would take minutes.
    let digits = [b"L".to_vec(), vec![b'9'; million], b"L\n.".to_vec()].concat();
    assert!(matches!(read(&digits, Names::Refused).unwrap().values()[0], Value::Long(_)));
    assert_eq!(error(b"X\xff\xff\xff\x7fabc", Names::Opaque), "it ends early; copy it again");
    assert_eq!(error(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc", Names::Opaque), "it ends early; copy it again");
    for (bytes, why) in [
        (&b"h\x07."[..], "at byte 0: it refers to a value that is not there"),
        (b"a.", "at byte 0: a value is missing"),
        (b"N(\x85.", "at byte 2: a value is missing"),
        (b"Nt.", "at byte 1: a mark is missing"),
        (b"NNa.", "at byte 2: items are appended to something that is not a list"),
        (b"}(Nu.", "at byte 3: a key has no value"),
        (b"IX\n.", "at byte 0: this is not an integer"),
    ] {
        assert!(error(bytes, Names::Opaque).ends_with(why), "{bytes:?}: {}", error(bytes, Names::Opaque));
    }
}
