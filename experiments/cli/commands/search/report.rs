//! The report of a search: policy, budgets, uniform policies, and how reliable the answer is.

use super::Alternative;
use crate::commands::table::{figure, gap as in_percent, table};
use limpq_core::search::{BitWidth, CostTable, Found, Instance, LayerBits, Precision, Proof, Search, Status, Uniform};
use std::io::Write;

/// Prints everything about an answer.
pub fn print(out: &mut dyn Write, search: &Search, instance: &Instance, found: &Found) -> anyhow::Result<()> {
    let graph = search.constraints.graph;
    writeln!(
        out,
        "{}, {} images, {} classes, candidates {}\n",
        graph.model, graph.input, graph.classes, found.candidates
    )?;
    policy(out, search, &instance.stated.tables, found)?;
    budgets(out, found)?;
    uniforms(out, search, found)?;
    writeln!(out, "objective: {:.9}", found.objective)?;
    writeln!(out, "proof: {}", proof(&found.proof, &found.solver))?;
    writeln!(out, "accounting: {}", found.accounting)?;
    writeln!(out, "alpha: {}", found.alpha)?;
    writeln!(out, "rising indicators: {}", found.rising_indicators)?;
    Ok(())
}

/// Prints bits, costs and loss of each layer. A peak cost has no column, because a layer's contribution depends on the
/// step.
fn policy(out: &mut dyn Write, search: &Search, tables: &[CostTable], found: &Found) -> anyhow::Result<()> {
    let first = |&(place, table): &(usize, &CostTable)| tables[..place].iter().all(|other| other.name != table.name);
    let costs = tables.iter().enumerate().filter(|(_, table)| table.adds_up()).filter(first);
    let costs: Vec<&CostTable> = costs.map(|(_, table)| table).collect();
    let named: Vec<String> = costs.iter().map(|cost| format!(">{} ({})", cost.name, cost.unit.symbol())).collect();
    let headings = ["layer", ">w bits", ">a bits", ">MACs", ">weights"];
    let headings = headings.into_iter().chain(named.iter().map(String::as_str)).chain([">indicator loss"]);
    let mut rows = table(&headings.collect::<Vec<_>>());
    let layers = search.constraints.graph.searchable();
    for (place, (layer, bits)) in layers.iter().zip(&found.policy.policy).enumerate() {
        let precision = Precision { weight: bits.weight_bits, act: bits.act_bits };
        let mut row = vec![
            layer.name.clone(),
            bits.weight_bits.to_string(),
            bits.act_bits.to_string(),
            search.constraints.accounting.macs(layer).to_string(),
            layer.weights.to_string(),
        ];
        row.extend(costs.iter().map(|cost| figure(cost.printed(cost.layers[place][&precision]))));
        row.push(figure(loss(search, bits)));
        rows.add_row(row);
    }
    writeln!(out, "{rows}\n")?;
    Ok(())
}

fn loss(search: &Search, bits: &LayerBits) -> f64 {
    let indicators = &search.indicators.layers[&bits.layer];
    // A layer fixed at bits without an indicator does not contribute to the objective.
    let value = |values: &std::collections::BTreeMap<BitWidth, f64>, bits| values.get(&bits).copied().unwrap_or(0.0);
    value(&indicators.act, bits.act_bits) + search.alpha * value(&indicators.weight, bits.weight_bits)
}

fn budgets(out: &mut dyn Write, found: &Found) -> anyhow::Result<()> {
    let mut rows = table(&["budget", ">limit", ">used", "unit", ">% used", "binding", ">1 % more would gain"]);
    rows.add_rows(found.budgets.iter().map(|budget| {
        let limit = match (budget.least, budget.limit) {
            (Some(least), Some(most)) => format!("{} .. {}", figure(least), figure(most)),
            (Some(least), None) => format!("{} ..", figure(least)),
            (None, most) => most.map(figure).unwrap_or_default(),
        };
        [
            budget.asked.clone(),
            limit,
            figure(budget.used),
            budget.unit.to_owned(),
            budget.limit.map(|limit| format!("{:.3}", 100.0 * budget.used / limit)).unwrap_or_default(),
            if budget.binding { "yes" } else { "no" }.to_owned(),
            match (budget.gain_of_one_percent, budget.limit) {
                (Some(gain), _) => format!("{gain:.6}"),
                (None, Some(_)) => "not known".to_owned(),
                (None, None) => String::new(),
            },
        ]
    }));
    writeln!(out, "{rows}\n")?;
    Ok(())
}

/// Prints the problem before it is solved: allowed bits per layer, shared bits, limits.
pub fn constraints(out: &mut dyn Write, search: &Search) -> anyhow::Result<()> {
    let instance = search.instance()?;
    let list = |bits: &[BitWidth]| bits.iter().map(BitWidth::to_string).collect::<Vec<_>>().join(",");
    let mut rows = table(&["layer", "w bits", "a bits", "chosen together with", ">options"]);
    for layer in &instance.stated.allowed {
        let group = instance.group_of(&layer.layer).expect("every searchable layer is in a group");
        let others: Vec<&str> = group.layers.iter().map(String::as_str).filter(|name| *name != layer.layer).collect();
        let options = group.choices.len().to_string();
        rows.add_row([layer.layer.clone(), list(&layer.weight), list(&layer.act), others.join(", "), options]);
    }
    writeln!(out, "{rows}\n")?;
    let mut rows = table(&["budget", ">at least", ">at most", "unit"]);
    for ((budget, cost), limits) in
        search.constraints.budgets.iter().zip(&instance.stated.tables).zip(&instance.stated.limits)
    {
        let end = |limit: Option<u64>| limit.map(|limit| figure(cost.printed(limit))).unwrap_or_default();
        let unit = cost.unit.symbol().to_owned();
        rows.add_row([budget.text.to_string(), end(limits.least), end(limits.most), unit]);
    }
    writeln!(out, "{rows}\n")?;
    writeln!(out, "accounting: {}", search.constraints.accounting)?;
    Ok(())
}

/// Prints uniform policies next to the answer: those with equal bits for weights and activations, those that a budget
/// is named after, and the best one within the budgets.
fn uniforms(out: &mut dyn Write, search: &Search, found: &Found) -> anyhow::Result<()> {
    let best = search.best_uniform()?.map(|uniform| uniform.bits);
    let asked: Vec<Precision> = search.constraints.budgets.iter().flat_map(|b| b.text.precisions()).collect();
    let near = |bits: Precision| bits.weight == bits.act || asked.contains(&bits) || best == Some(bits);
    let used: Vec<String> = found.budgets.iter().map(|b| format!(">{} ({})", b.name, b.unit)).collect();
    let headings = ["uniform policy"].into_iter().chain(used.iter().map(String::as_str)).chain([">objective", "fits"]);
    let mut rows = table(&headings.collect::<Vec<_>>());
    for uniform in search.uniforms()?.into_iter().filter(|uniform| near(uniform.bits)) {
        let mut row = vec![uniform.bits.to_string()];
        row.extend(uniform.used.iter().map(|used| used.map_or_else(|| "not known".to_owned(), figure)));
        row.extend([format!("{:.6}", uniform.objective), verdict(search, &uniform, best)]);
        rows.add_row(row);
    }
    writeln!(out, "{rows}\n")?;
    Ok(())
}

/// Rules, including the one on rising indicators, forbid bits in some layers, so a uniform policy may be within the
/// budgets and even have a lower loss.
fn verdict(search: &Search, uniform: &Uniform, best: Option<Precision>) -> String {
    match (uniform.fits, uniform.closed) {
        (false, _) => "no".to_owned(),
        (true, 0) if best == Some(uniform.bits) => "yes, the best uniform one".to_owned(),
        (true, 0) => "yes".to_owned(),
        (true, closed) if search.constraints.rules.rules.is_empty() => {
            format!("yes, but the rule on rising indicators forbids it in {closed} layers")
        }
        (true, closed) => format!("yes, but rules or rising indicators forbid it in {closed} layers"),
    }
}

/// Prints the best policies and where they differ from the best one.
pub fn alternatives(out: &mut dyn Write, best: &Found, list: &[Alternative], asked: usize) -> anyhow::Result<()> {
    const SHOWN: usize = 4;
    let used: Vec<String> = best.budgets.iter().map(|b| format!(">{} ({})", b.name, b.unit)).collect();
    let headings = [">rank", ">objective", ">above the best"].into_iter().chain(used.iter().map(String::as_str));
    let mut rows = table(&headings.chain([">layers changed", "which", "proven"]).collect::<Vec<_>>());
    for Alternative { rank, objective, difference, proven, changed, budgets, .. } in list {
        let which = changed.iter().take(SHOWN).map(|c| format!("{} {} -> {}", c.layer, c.from, c.to));
        let more = if changed.len() > SHOWN { ", ..." } else { "" };
        let mut row = vec![rank.to_string(), format!("{objective:.9}"), format!("{difference:.3e}")];
        row.extend(budgets.iter().map(|budget| figure(budget.used)));
        row.extend([changed.len().to_string(), which.collect::<Vec<_>>().join(", ") + more]);
        row.push(if *proven { "yes" } else { "no" }.to_owned());
        rows.add_row(row);
    }
    writeln!(out, "\n{rows}\n")?;
    if list.len() < asked {
        writeln!(out, "{asked} policies were asked for; no more than {} were found within the budgets", list.len())?;
    }
    Ok(())
}

/// The proof in plain words; only a proven answer is called optimal.
fn proof(proof: &Proof, solver: &str) -> String {
    let Proof { status, bound, gap, seconds, nodes } = *proof;
    let nodes = nodes.map(|nodes| format!(", {nodes} nodes")).unwrap_or_default();
    let seconds = format!("{seconds:.3}");
    let room = format!("no policy has an objective below {bound:.6}, a gap of {}", in_percent(gap, 2));
    match status {
        Status::Optimal => format!("proven optimal by {solver} in {seconds} s{nodes}"),
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
        let words = |status| proof(&Proof { status, bound: 4.6, gap: 0.003, seconds: 0.3125, nodes: None }, "highs");
        assert_eq!(words(Status::Optimal), "proven optimal by highs in 0.312 s");
        for status in [Status::Stopped, Status::Heuristic] {
            assert!(!words(status).contains("optimal") && words(status).contains("a gap of 0.30 %"));
        }
    }
}
