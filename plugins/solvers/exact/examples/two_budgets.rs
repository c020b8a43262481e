//! Choosing the bit-width of eight layers so that the model's size and its operations stay within two budgets.

use mmkp::{Choice, Group, Limits, Problem, Row, solve};

const BITS: [u64; 4] = [2, 3, 4, 8];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Weights and multiply-accumulates of each layer, and how much it suffers from 2 bits.
    let layers: [(u64, u64, f64); 8] = [
        (2_304, 1_806_336, 0.9),
        (4_608, 903_168, 0.5),
        (9_216, 1_806_336, 0.7),
        (18_432, 903_168, 0.4),
        (36_864, 1_806_336, 0.6),
        (73_728, 903_168, 0.3),
        (147_456, 1_806_336, 0.4),
        (294_912, 903_168, 0.2),
    ];
    let group = |(weights, macs, loss): (u64, u64, f64)| -> Group {
        let choice = |bits: u64| Choice {
            // The error of uniform quantization falls by a factor of four with each bit.
            loss: loss * 0.25f64.powi(bits as i32 - 2),
            // Of equally good solutions the one with fewer bits.
            tiebreak: bits,
            costs: [weights * bits, macs * bits * bits].into(),
        };
        BITS.map(choice).into_iter().collect()
    };
    let size_bits: i128 = 3 * 587_520;
    let bit_operations: i128 = 9 * 10_838_016;
    let problem = Problem::new(layers.map(group).into(), vec![Row::new(size_bits), Row::new(bit_operations)])?;
    let solution = solve(&problem, &Limits::default())?;
    let bits: Vec<u64> = solution.picks.iter().map(|&pick| BITS[pick]).collect();
    println!("bits       {bits:?}");
    println!("loss       {:.4} ({:?}, {} nodes)", solution.objective, solution.status, solution.nodes);
    for ((name, used), row) in ["size", "operations"].iter().zip(problem.uses(&solution.picks)).zip(problem.rows()) {
        println!("{name:10} {used} of {}", row.limit);
    }
    Ok(())
}
