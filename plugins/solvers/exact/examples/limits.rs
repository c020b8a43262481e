//! A hard problem under limits of nodes: costs are nearly the negated losses. The gap says how far from optimal it may
//! be.

use mmkp::{Choice, Error, Group, Limits, Problem, Row, solve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A multiplicative generator, so that the example needs no other crate.
    let mut state: u64 = 1;
    let mut next = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    let mut group = || -> Group {
        (0..25)
            .map(|_| {
                let costs = [100_000 + next(900_000), 100_000 + next(900_000)];
                Choice::new((2_200_000 - costs[0] - costs[1] + next(1000)) as f64 * 1e-6, costs)
            })
            .collect()
    };
    let groups: Vec<Group> = (0..60).map(|_| group()).collect();
    let problem = Problem::new(groups, vec![Row::new(27_600_000); 2])?;
    for nodes in [10_000, 100_000, 1_000_000] {
        match solve(&problem, &Limits { nodes, deadline: None }) {
            Ok(found) => println!(
                "{nodes:>8} nodes: objective {:.6}, bound {:.6}, gap {:.2e}, {:?}",
                found.objective,
                found.bound,
                found.gap(),
                found.status
            ),
            Err(Error::NodeLimitReached { .. }) => println!("{nodes:>8} nodes: nothing found"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
