//! What a search found, for people: policy, budgets, the uniform policies next to it, and how far to trust it.

use crate::commands::table::{figure, table};
use limpq_core::search::{Found, Group, LayerBits, Precision, Proof, Search, Status};
use std::io::Write;

/// Prints everything about an answer.
pub fn print(out: &mut dyn Write, search: &Search, found: &Found) -> anyhow::Result<()> {
    let graph = search.graph;
    writeln!(
        out,
        "{}, {} images, {} classes, candidates {}\n",
        graph.model, graph.input, graph.classes, found.candidates
    )?;
    policy(out, search, found)?;
    budgets(out, found)?;
    uniforms(out, search, found)?;
    writeln!(out, "objective: {:.9}", found.objective)?;
    writeln!(out, "proof: {}", proof(&found.proof, &found.solver))?;
    writeln!(out, "accounting: {}", found.accounting)?;
    writeln!(out, "alpha: {}", found.alpha)?;
    Ok(())
}

fn policy(out: &mut dyn Write, search: &Search, found: &Found) -> anyhow::Result<()> {
    let mut rows = table(&["layer", ">w bits", ">a bits", ">MACs", ">weights", ">indicator loss"]);
    for (layer, bits) in search.graph.searchable().iter().zip(&found.policy.policy) {
        rows.add_row([
            layer.name.clone(),
            bits.weight_bits.to_string(),
            bits.act_bits.to_string(),
            search.accounting.macs(layer).to_string(),
            layer.weights.to_string(),
            figure(loss(search, bits)),
        ]);
    }
    writeln!(out, "{rows}\n")?;
    Ok(())
}

fn loss(search: &Search, bits: &LayerBits) -> f64 {
    let indicators = &search.indicators.layers[&bits.layer];
    indicators.act[&bits.act_bits] + search.alpha * indicators.weight[&bits.weight_bits]
}

fn budgets(out: &mut dyn Write, found: &Found) -> anyhow::Result<()> {
    let mut rows = table(&["budget", ">limit", ">used", "unit", ">% used", "binding"]);
    rows.add_rows(found.budgets.iter().map(|budget| {
        [
            budget.asked.clone(),
            figure(budget.limit),
            figure(budget.used),
            budget.unit.to_owned(),
            format!("{:.3}", 100.0 * budget.used / budget.limit),
            if budget.binding { "yes" } else { "no" }.to_owned(),
        ]
    }));
    writeln!(out, "{rows}\n")?;
    Ok(())
}

/// Uniform policies next to the answer: same bits for weights and activations, those that a budget is named after, and the
/// best one that keeps the budgets.
fn uniforms(out: &mut dyn Write, search: &Search, found: &Found) -> anyhow::Result<()> {
    let (program, _) = search.problem()?;
    let best = search.best_uniform()?.map(|uniform| uniform.bits);
    let asked: Vec<Precision> = search.budgets.iter().filter_map(|budget| budget.text.precision()).collect();
    let near = |bits: Precision| bits.weight == bits.act || asked.contains(&bits) || best == Some(bits);
    let used: Vec<String> = found.budgets.iter().map(|b| format!(">{} ({})", b.name, b.unit)).collect();
    let headings = ["uniform policy"].into_iter().chain(used.iter().map(String::as_str)).chain([">objective", "fits"]);
    let mut rows = table(&headings.collect::<Vec<_>>());
    for uniform in search.uniforms()?.into_iter().filter(|uniform| near(uniform.bits)) {
        // Some accountings forbid bits in some layers, so a uniform policy may keep the budgets and even lose less.
        let open = |group: &Group| group.choices.iter().any(|choice| choice.bits == uniform.bits);
        let closed = program.groups.iter().filter(|group| !open(group)).count();
        let verdict = match (uniform.fits, closed) {
            (false, _) => "no".to_owned(),
            (true, 0) if best == Some(uniform.bits) => "yes, the best uniform one".to_owned(),
            (true, 0) => "yes".to_owned(),
            (true, closed) => format!("yes, but {} accounting forbids it in {closed} layers", search.accounting),
        };
        let mut row = vec![uniform.bits.to_string()];
        row.extend(uniform.used.into_iter().map(figure));
        row.extend([format!("{:.6}", uniform.objective), verdict]);
        rows.add_row(row);
    }
    writeln!(out, "{rows}\n")?;
    Ok(())
}

/// The proof in plain words; only a proven answer is called optimal.
fn proof(proof: &Proof, solver: &str) -> String {
    let Proof { status, bound, gap, seconds } = *proof;
    let seconds = format!("{seconds:.3}");
    let room = format!("no policy has an objective below {bound:.6}, a gap of {:.2} %", 100.0 * gap);
    match status {
        Status::Optimal => format!("proven optimal by {solver} in {seconds} s"),
        Status::Stopped => {
            format!("stopped by a limit of {solver} after {seconds} s, a better policy may exist: {room}")
        }
        Status::Heuristic => {
            format!("found by {solver} in {seconds} s without a proof, a better policy may exist: {room}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proven_answer_is_called_optimal() {
        let words = |status| proof(&Proof { status, bound: 4.6, gap: 0.003, seconds: 0.3125 }, "highs");
        assert_eq!(words(Status::Optimal), "proven optimal by highs in 0.312 s");
        for status in [Status::Stopped, Status::Heuristic] {
            assert!(!words(status).contains("optimal") && words(status).contains("a gap of 0.30 %"));
        }
    }
}
