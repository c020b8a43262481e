//! CIFAR-10's files, binary and pickled: the same input stands for each of the six.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::train::Dataset;
use limpq_plugins::datasets::Cifar10;

fuzz_target!(|bytes: &[u8]| {
    for end in [".bin", ""] {
        let folder = tempfile::tempdir().expect("a folder");
        let batches = (1..=5).map(|number| format!("data_batch_{number}"));
        for name in batches.chain(["test_batch".to_owned()]) {
            std::fs::write(folder.path().join(name + end), bytes).expect("a file");
        }
        let cifar = Cifar10 { folder: folder.path().to_owned(), ..Cifar10::default() };
        if let Ok(data) = cifar.load() {
            assert!((0..data.train.len()).all(|index| data.train.label(index) < data.classes));
        }
    }
});
