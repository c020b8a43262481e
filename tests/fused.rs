//! A training with the fused quantizer, compared with its reference.

use crate::runs::{go, tiny};
use limpq_core::{search::Indicators, train::State};
use std::{fs::read, path::Path};

/// The indicators after a joint training, and all tensors of its network.
fn trained(quantizer: &str, kernel: &str, home: &Path) -> (Indicators, Vec<f64>) {
    let [name, kernel] = [format!("quantizer.name={quantizer}"), format!("quantizer.kernel={kernel}")];
    let folder = home.join(format!("{quantizer} {kernel}"));
    // Three steps: with more, a value that rounds to the next level in one of the two makes them diverge, on one
    // machine or another.
    go(&tiny(&[&name, &kernel, "indicators.batch_size=480", "finetune.epochs=0"]), &folder);
    let indicators = Indicators::from_bytes(&read(folder.join("indicators.json")).unwrap()).unwrap();
    let joint = State::from_bytes(&read(folder.join("joint.safetensors")).unwrap(), "joint").unwrap();
    (indicators, joint.0.into_values().flat_map(|array| array.values).map(f64::from).collect())
}

/// Not bit-identical: sums have another order, and sometimes a value rounds to the next level because of it.
#[test]
fn training_with_the_fused_kernel_goes_the_way_of_the_reference() {
    let home = tempfile::tempdir().unwrap();
    for quantizer in ["lsq", "lsq_plus", "minmax"] {
        let [(found, network), (wanted, reference)] =
            ["fused", "composed"].map(|kernel| trained(quantizer, kernel, home.path()));
        let mut most = 0f64;
        for (name, layer) in &wanted.layers {
            for (role, indicators, found) in
                [("weight", &layer.weight, &found.layers[name].weight), ("act", &layer.act, &found.layers[name].act)]
            {
                for (bits, wanted) in indicators {
                    let apart = (found[bits] / wanted - 1.0).abs();
                    most = most.max(apart);
                    assert!(apart < 1e-4, "{quantizer}, {name} {role} {bits}: {}, reference {wanted}", found[bits]);
                }
            }
        }
        let squares = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|n| n * n).sum::<f64>();
        let apart = squares(&mut network.iter().zip(&reference).map(|(a, b)| a - b));
        let apart = (apart / squares(&mut reference.iter().copied())).sqrt();
        println!("{quantizer}: indicators {most:.1e} apart, networks {apart:.1e}");
        assert!(apart < 1e-3, "{quantizer}: networks {apart} apart");
    }
}
