//! Compares the exact solver with the libraries on the same instances in one run: each solver's own clock, medians.
//!
//! ```text
//! cargo bench --bench solvers --features highs,cbc [-- --cbc] [-- --large] [-- --long]
//! ```
//!
//! Instances are searches on ResNet-50, ResNet-18 and MobileNetV1 at five values of alpha and six sets of budgets, two more for
//! ResNet-50: LIMPQ's published request, and a harder one. ResNet-50 has LIMPQ's published indicators when the
//! environment variable `LIMPQ_REFERENCE` names the folder that holds them, and
//! made-up ones otherwise, as the other networks have. A library has three minutes for
//! each; a run that the limit stops counts as "at least" so long, and is not repeated. CBC may need them, so it is asked for.
//! `--large` adds synthetic problems of up to 5000 layers for the exact solver alone, and `--long` residual networks of hundreds
//! of layers under budgets on a peak, which make hundreds of rows.

use limpq as _;
use limpq_core::graph::{Graph, Model};
use limpq_core::registry::build;
use limpq_core::search::{
    Accounting, BitWidth, Budget, BudgetText, Candidates, Choice, Constraints, CostModel, Group, INDICATORS_SCHEMA,
    Indicators, LayerIndicators, NamedSolver, Precision, Problem, Provenance, RisingIndicators, Row, Rules, Search,
    Solver, SolverError, Status, solve,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;

/// Seconds that a library has for an instance.
const LIBRARY_LIMIT_S: f64 = 180.0;

const MODELS: [&str; 3] = ["resnet50", "resnet18", "mobilenet_v1"];
const ALPHAS: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];
const BUDGETS: [&[&str]; 6] = [
    &["bitops=w3a4"],
    &["size=9x"],
    &["bitops=w3a3", "size=9x"],
    &["bitops=w3a4", "size=9x"],
    &["bitops=w4a4", "size=8x"],
    &["bitops=w3a4", "size=8.5x", "average_act_bits=4"],
];
/// LIMPQ's published request and a harder one, in its own accounting. A third budget in which every layer costs alike makes
/// many policies nearly tie.
const PUBLISHED: [&[&str]; 2] =
    [&["bitops=w3a4", "size=12.2x"], &["bitops=w3a4", "size=12.2x", "average_act_bits=4.2"]];

/// Budgets on peaks. In the second the tensors that additions read may have as few bits as any, so that rows are
/// connected.
const LONG: [(&[&str], &str); 5] = [
    (&["activation_memory=w3a4"], "residual_bits = 8"),
    (&["activation_memory=w3a4"], "residual_bits = 2"),
    (&["activation_memory=w3a4", "bitops=w3a4", "size=w3a4"], "residual_bits = 8"),
    (&["activation_memory=w3a4", "bitops=w3a4"], "residual_bits = 2"),
    (&["total_memory=w3a4", "bitops=w3a4"], "residual_bits = 8"),
];

fn graph(name: &str) -> Graph {
    let model = build::<dyn Model>(name, &toml::Table::new()).expect("a registered model");
    model.graph("3x224x224".parse().expect("a shape"), 1000).expect("224 pixels are enough")
}

/// A residual network with this many blocks of six layers.
fn long(blocks: usize) -> Graph {
    let options = format!("blocks = {blocks}\nwidth = 2").parse().expect("a table");
    let model = build::<dyn Model>("resnet20", &options).expect("a registered model");
    model.graph("3x8x8".parse().expect("a shape"), 10).expect("8 pixels are enough")
}

fn bits() -> impl Iterator<Item = BitWidth> {
    [6, 5, 4, 3, 2].into_iter().map(|bits| BitWidth::new(bits).expect("a bit-width"))
}

/// The published indicators of ResNet-50, or made-up ones that fall with the bits as learned ones do.
fn indicators(graph: &Graph) -> Indicators {
    let published = std::env::var("LIMPQ_REFERENCE").ok();
    let published = published.map(|folder| Path::new(&folder).join("importance_indicators_resnet50.pkl"));
    if let Some(file) = published.filter(|_| graph.model == "resnet50") {
        return Indicators::read(&file).unwrap_or_else(|error| panic!("{error}"));
    }
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut values = |scale: f64| -> BTreeMap<BitWidth, f64> {
        let factor = scale * 10f64.powf(random.random_range(0.0..1.0));
        bits().map(|bits| (bits, factor * random.random_range(1.6..1.9f64).powi(6 - bits.get() as i32))).collect()
    };
    let layers = graph.searchable().into_iter();
    Indicators {
        schema: INDICATORS_SCHEMA,
        model: Some(graph.model.clone()),
        candidates: Candidates::new(bits().collect()).expect("bit-widths"),
        provenance: Provenance { sensitivity: "made up".to_owned(), ..Provenance::default() },
        layers: layers
            .map(|layer| (layer.name, LayerIndicators { weight: values(0.004), act: values(0.01) }))
            .collect(),
        spread: None,
    }
}

fn problem(graph: &Graph, indicators: &Indicators, alpha: f64, budgets: &[&str], accounting: Accounting) -> Problem {
    peaked(graph, indicators, alpha, budgets, accounting, &toml::Table::new())
}

/// A problem with options of the memory costs.
fn peaked(
    graph: &Graph,
    indicators: &Indicators,
    alpha: f64,
    budgets: &[&str],
    accounting: Accounting,
    memory: &toml::Table,
) -> Problem {
    let budget = |text: &&str| {
        let text: BudgetText = text.parse().expect("a budget");
        let none = toml::Table::new();
        let options = if text.name.ends_with("_memory") { memory } else { &none };
        let cost = build::<dyn CostModel>(&text.name, options).expect("a registered cost");
        Budget { text, cost }
    };
    let constraints = Constraints {
        graph,
        candidates: &indicators.candidates,
        accounting,
        budgets: &budgets.iter().map(budget).collect::<Vec<_>>(),
        rules: &Rules::default(),
    };
    let search = Search { constraints, indicators, alpha, rising: RisingIndicators::with(accounting) };
    search.instance().unwrap_or_else(|error| panic!("{error}")).problem
}

/// Many layers of random size; losses fall and costs rise with the bits.
fn synthetic(layers: usize, rows: usize, seed: u64) -> Problem {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut group = |layer: usize| {
        let [macs, weights, inputs] =
            [(6.0, 8.5), (3.0, 6.5), (4.0, 6.0)].map(|(low, high)| 10f64.powf(random.random_range(low..high)) as u64);
        let [weight, act] = [(-3.0, -1.5), (-2.5, -1.0)].map(|(low, high)| 10f64.powf(random.random_range(low..high)));
        let [fall, drop] = [(); 2].map(|()| random.random_range(1.5..2.0f64));
        let pairs = (2..8u64).flat_map(|w| (2..8u64).map(move |a| (w, a)));
        let choice = |(w, a): (u64, u64)| Choice {
            bits: vec![format!("w{w}a{a}").parse::<Precision>().expect("a precision")],
            loss: (weight * fall.powi(2 - w as i32) + act * drop.powi(2 - a as i32)) * random.random_range(0.95..1.05),
            costs: [macs * w * a, weights * w, inputs * a][..rows].to_vec().into(),
        };
        Group { layers: vec![format!("layer{layer}")], choices: pairs.map(choice).collect() }
    };
    let groups: Vec<Group> = (0..layers).map(&mut group).collect();
    let mut problem = Problem { groups, rows: vec![] };
    for row in 0..rows {
        problem.rows.push(Row::new(format!("row{row}"), 0));
        let largest = |group: &Group| group.choices.iter().map(|choice| i128::from(choice.costs.of(row))).max();
        let most: i128 = problem.groups.iter().filter_map(largest).sum();
        let least = problem.least(row);
        problem.rows[row].limit = least + (most - least) * random.random_range(20..45) / 100;
    }
    problem
}

/// The result of several runs of a solver.
struct Timed {
    /// Median milliseconds.
    milliseconds: f64,
    /// Whether a limit ended the last run.
    stopped: bool,
    /// The last answer in words.
    status: String,
    /// The last objective; infinite when no policy was found in time.
    objective: f64,
}

/// Times a solver; `None` if it fails, or finds that there is no policy.
fn timed(name: &str, options: &toml::Table, problem: &Problem, runs: usize) -> Option<Timed> {
    let solver = build::<dyn Solver>(name, options).ok()?;
    let mut times = vec![];
    let mut last = None;
    for _ in 0..runs {
        let start = std::time::Instant::now();
        let (seconds, answer) = match solve(NamedSolver::new(name, solver.as_ref()), problem, None) {
            Ok(solved) if solved.proof.status == Status::Optimal => {
                (solved.proof.seconds, (false, "optimal".to_owned(), solved.objective))
            }
            Ok(solved) => {
                let status = format!("{}, gap {:.1e}", solved.proof.status, solved.proof.gap);
                (solved.proof.seconds, (true, status, solved.objective))
            }
            Err(SolverError::NothingFound { .. }) => {
                (start.elapsed().as_secs_f64(), (true, "stopped without a policy".to_owned(), f64::INFINITY))
            }
            Err(error) => {
                println!("{name}: {error}");
                return None;
            }
        };
        times.push(1e3 * seconds);
        let stopped = answer.0;
        last = Some(answer);
        if stopped {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    let (stopped, status, objective) = last?;
    Some(Timed { milliseconds: times[times.len() / 2], stopped, status, objective })
}

/// Totals of a library over all instances.
struct Total {
    exact: f64,
    library: f64,
    least: f64,
    count: usize,
    stopped: usize,
}

fn main() {
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    let mut libraries = vec!["highs"];
    if asked("--cbc") {
        libraries.push("cbc");
    }
    println!(
        "| instance | exact, ms | {} |",
        libraries.iter().map(|l| format!("{l}, ms | times")).collect::<Vec<_>>().join(" | ")
    );
    println!("|---|---|{}", "---|---|".repeat(libraries.len()));
    let none = || Total { exact: 0.0, library: 0.0, least: f64::INFINITY, count: 0, stopped: 0 };
    let mut totals: Vec<Total> = libraries.iter().map(|_| none()).collect();
    let limit = toml::Table::from_iter([("time_limit_s".to_owned(), LIBRARY_LIMIT_S.into())]);
    let unlimited = toml::Table::new();
    let mut ours = vec![];
    for name in MODELS {
        let graph = graph(name);
        let indicators = indicators(&graph);
        let published = if name == "resnet50" { PUBLISHED.as_slice() } else { &[] };
        for alpha in ALPHAS {
            let instances = BUDGETS.into_iter().map(|budgets| (budgets, Accounting::Exact));
            for (budgets, accounting) in instances.chain(published.iter().map(|&budgets| (budgets, Accounting::Limpq)))
            {
                let problem = problem(&graph, &indicators, alpha, budgets, accounting);
                let Some(exact) = timed("exact", &unlimited, &problem, 9) else { continue };
                let (objective, milliseconds) = (exact.objective, exact.milliseconds);
                ours.push(milliseconds);
                let budgets = budgets.join(" ");
                let mut line = format!("| {name}, alpha {alpha}, {budgets} | {milliseconds:.3} ({}) |", exact.status);
                for (library, total) in libraries.iter().zip(&mut totals) {
                    let Some(Timed { milliseconds: time, stopped, status, objective: found }) =
                        timed(library, &limit, &problem, 3)
                    else {
                        line += " failed | |";
                        continue;
                    };
                    let worse = if found > objective * (1.0 + 1e-9) { ", worse" } else { "" };
                    assert!(found >= objective * (1.0 - 1e-9), "{library} found a better policy: {found}, {objective}");
                    let (at_least, times) = (if stopped { "at least " } else { "" }, time / milliseconds);
                    line += &format!(" {at_least}{time:.1} ({status}{worse}) | {at_least}{times:.0} |");
                    total.exact += milliseconds;
                    total.library += time;
                    total.least = total.least.min(times);
                    total.count += 1;
                    total.stopped += usize::from(stopped);
                }
                println!("{line}");
            }
        }
    }
    ours.sort_by(f64::total_cmp);
    println!(
        "\nexact: {} instances, median {:.3} ms, worst {:.3} ms",
        ours.len(),
        ours[ours.len() / 2],
        ours[ours.len() - 1]
    );
    for (library, Total { exact, library: time, least, count, stopped }) in
        libraries.iter().zip(totals).filter(|(_, total)| total.count > 0)
    {
        let (at_least, times) = (if stopped > 0 { "at least " } else { "" }, time / exact);
        println!(
            "{library}: {at_least}{times:.0} times as long in total, at least {least:.0} times on each of {count}; \
             {stopped} of them stopped after {LIBRARY_LIMIT_S} s and counted as that"
        );
    }
    if asked("--large") {
        println!("\n| layers x 36 options | budgets | seed | exact, ms | answer |\n|---|---|---|---|---|");
        for (layers, rows) in [(200, 2), (1000, 2), (5000, 2), (50, 3), (200, 3), (1000, 3)] {
            for seed in 0..3 {
                let problem = synthetic(layers, rows, seed);
                if let Some(Timed { milliseconds, status, .. }) = timed("exact", &unlimited, &problem, 1) {
                    println!("| {layers} | {rows} | {seed} | {milliseconds:.1} | {status} |");
                }
            }
        }
    }
    if asked("--long") {
        println!(
            "\n| blocks | budgets | memory | rows | stated, ms | exact, ms | answer |\n|---|---|---|---|---|---|---|"
        );
        for blocks in [100, 400] {
            let graph = long(blocks);
            let indicators = indicators(&graph);
            for (budgets, memory) in LONG {
                let start = std::time::Instant::now();
                let options = memory.parse().expect("a table");
                let problem = peaked(&graph, &indicators, 2.0, budgets, Accounting::Exact, &options);
                let (rows, stated) = (problem.rows.len(), 1e3 * start.elapsed().as_secs_f64());
                if let Some(Timed { milliseconds, status, .. }) = timed("exact", &unlimited, &problem, 1) {
                    let budgets = budgets.join(" ");
                    println!(
                        "| {blocks} | {budgets} | {memory} | {rows} | {stated:.1} | {milliseconds:.1} | {status} |"
                    );
                }
            }
        }
    }
}
