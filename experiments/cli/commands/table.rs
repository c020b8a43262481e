//! Tables and figures for users, in Markdown, so that they can be pasted into a report.

use comfy_table::{CellAlignment, Table, presets};

/// A table with these headings; columns whose heading starts with `>` are aligned to the right.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')).collect::<Vec<_>>());
    for (index, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(index).filter(|_| heading.starts_with('>')) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A number with at least five significant digits, whatever its magnitude.
pub fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let decimals = (4.0 - value.abs().log10().floor()).clamp(0.0, 15.0) as usize;
    format!("{value:.decimals$}")
}

/// A gap in percent; a gap that is not proven to be 0 is not shown as 0.
pub fn gap(share: f64, decimals: usize) -> String {
    let percent = 100.0 * share;
    match format!("{percent:.decimals$}") {
        zero if share > 0.0 && zero.parse() == Ok(0.0) => format!("{percent:.1e} %"),
        written => written + " %",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_gap_is_no_gap_of_nothing() {
        assert_eq!([0.0, 0.0123, 3e-8].map(|share| gap(share, 2)), ["0.00 %", "1.23 %", "3.0e-6 %"]);
    }

    #[test]
    fn figures_keep_five_digits() {
        let shown: Vec<_> = [0.0, 0.000_123_456_7, 7.972_351, 48.283_189, 1_857_612.3].map(figure).into();
        assert_eq!(shown, ["0", "0.00012346", "7.9724", "48.283", "1857612"]);
    }
}
