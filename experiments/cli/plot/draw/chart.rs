//! What charts have in common: sizes, colours, fonts, ranges, ticks, meshes, labels.

use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub(super) const SIZE: (u32, u32) = (900, 560);
pub(super) const FONT: &str = "sans-serif";
pub(super) const INK: RGBColor = RGBColor(50, 50, 50);
/// Colours that colour-blind readers can tell apart (Okabe and Ito, 2008).
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

pub(super) fn text(size: f64) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// Larger values are not drawn: plotters has 32-bit coordinates.
pub(super) const LARGEST: f64 = 1e100;

/// The range of some values with a margin; `None` without values. It is never too narrow for ticks.
pub(super) fn range(values: impl Iterator<Item = f64>, margin: f64) -> Option<std::ops::Range<f64>> {
    let values = values.filter(|value| value.abs() <= LARGEST);
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
    let wide = most - least > 1e-9 * least.abs().max(most.abs());
    let room = if wide { (most - least) * margin } else { most.abs().max(1.0) * 0.05 };
    (least <= most).then_some(least - room..most + room)
}

/// A foreign name for a picture: without characters that XML does not allow, and shortened.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 80;
    let plain = |c: char| if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) { '\u{fffd}' } else { c };
    let mut name: String = name.chars().map(plain).collect();
    if let Some((end, _)) = name.char_indices().nth(MOST) {
        name.truncate(end);
        name.push('…');
    }
    name
}

/// A tick's label: as few digits as distinguish ticks this far from zero.
pub(super) fn tick(value: f64) -> String {
    let rounded = format!("{value:.4}");
    match rounded.trim_end_matches('0').trim_end_matches('.') {
        "" | "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

pub(super) fn chart<'a, 'b>(
    canvas: &'a Canvas<'b>,
    title: &str,
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
) -> anyhow::Result<Chart<'a, 'b>> {
    Ok(ChartBuilder::on(canvas)
        .caption(title, text(17.0))
        .margin(14)
        .x_label_area_size(52)
        .y_label_area_size(74)
        .build_cartesian_2d(x, y)?)
}

pub(super) fn mesh(chart: &mut Chart, axes: [&str; 2], log_x: bool, lines: bool) -> anyhow::Result<()> {
    let x_tick = |value: &f64| if log_x { tick_of_log(*value) } else { tick(*value) };
    let y_tick = |value: &f64| tick(*value);
    let mut mesh = chart.configure_mesh();
    if !lines {
        mesh.disable_mesh();
    }
    mesh.x_labels(9)
        .y_labels(9)
        .max_light_lines(0)
        .bold_line_style(INK.mix(0.13))
        .axis_style(INK)
        .x_desc(axes[0])
        .y_desc(axes[1])
        .axis_desc_style(text(15.0))
        .label_style(text(13.0))
        .x_label_formatter(&x_tick)
        .y_label_formatter(&y_tick)
        .draw()?;
    Ok(())
}

fn tick_of_log(value: f64) -> String {
    let value = 10f64.powf(value);
    let decimals = (1.0 - value.log10().floor()).clamp(0.0, 9.0) as usize;
    tick(format!("{value:.decimals$}").parse().unwrap_or(value))
}

/// Labels next to their points; a label that would overlap an earlier one is left out.
pub(super) fn labels(chart: &mut Chart, labelled: &[((f64, f64), &str)]) -> anyhow::Result<()> {
    const HEIGHT: i32 = 14;
    let style = text(12.0).pos(Pos::new(HPos::Left, VPos::Center));
    let mut taken: Vec<[i32; 4]> = vec![];
    for &(point, label) in labelled {
        let (x, y) = chart.backend_coord(&point);
        let (width, _) = chart.plotting_area().estimate_text_size(label, &style)?;
        let shift = [(9, 0), (9, -10), (9, 11), (-(width as i32) - 9, 0)].into_iter().find(|&(right, down)| {
            let area = [x + right, x + right + width as i32, y + down - HEIGHT / 2, y + down + HEIGHT / 2];
            let free = taken.iter().all(|o| area[1] < o[0] || area[0] > o[1] || area[3] < o[2] || area[2] > o[3]);
            free.then(|| taken.push(area)).is_some()
        });
        if let Some(shift) = shift {
            let (right, down) = shift;
            let box_of = [(right - 2, down - HEIGHT / 2), (right + width as i32 + 2, down + HEIGHT / 2)];
            let element = EmptyElement::at(point)
                + Rectangle::new(box_of, WHITE.mix(0.75).filled())
                + Text::new(label.to_owned(), shift, style.clone());
            chart.draw_series(std::iter::once(element))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_wide_enough_beside_its_numbers() {
        let near = range([1e16, 1e16 + 2.0].into_iter(), 0.0).unwrap();
        assert!(near.start < 0.96e16 && near.end > 1.04e16, "{near:?}");
    }

    #[test]
    fn foreign_names_are_cut_and_fit_for_xml() {
        assert_eq!(shown("conv1\0\u{1b}[31m\u{ffff}\n"), "conv1\u{fffd}\u{fffd}[31m\u{fffd}\u{fffd}");
        assert_eq!(shown(&"ä".repeat(1 << 20)), format!("{}…", "ä".repeat(80)));
    }

    #[test]
    fn ticks_are_short() {
        let shown: Vec<_> = [0.0, -0.000_01, 4.0, 4.25, 4.100_000_001, 1200.0].map(tick).into();
        assert_eq!(shown, ["0", "0", "4", "4.25", "4.1", "1200"]);
        assert_eq!([0.0, 1.0, -1.0, 0.31].map(tick_of_log), ["1", "10", "0.1", "2"]);
    }
}
