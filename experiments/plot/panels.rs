//! Charts side by side that share their horizontal axis and the legend above them.

use super::{COLOURS, Canvas, INK, range, text, tick};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::ops::Range;

/// Charts side by side.
#[derive(Clone, Debug)]
pub struct Panels {
    /// Above all.
    pub title: String,
    /// Name of the horizontal axis, with its unit.
    pub x: String,
    /// What each colour stands for.
    pub keys: Vec<String>,
    /// How many stand in a row.
    pub columns: usize,
    /// Width and height of one.
    pub size: (u32, u32),
    /// Row by row.
    pub panels: Vec<Panel>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// Whether the vertical axis is logarithmic.
    pub log_y: bool,
    /// The vertical range; that of the lines if not given.
    pub y: Option<Range<f64>>,
    /// What it shows. Later ones lie over earlier ones.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its place among the keys.
    pub key: usize,
    /// How it looks.
    pub stroke: Stroke,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stroke {
    /// To be looked at.
    Plain,
    /// In the background.
    Faint,
    /// With a dot at each point.
    Dotted,
}

const MARGIN: u32 = 16;
/// Title and legend.
const HEAD: u32 = 66;
/// Name of the horizontal axis.
const FOOT: u32 = 34;
const ROW: i32 = 22;

impl Panels {
    /// Width and height of the picture.
    pub(super) fn size(&self) -> (u32, u32) {
        let (columns, rows) = (self.columns.max(1) as u32, self.panels.len().div_ceil(self.columns.max(1)) as u32);
        (columns * self.size.0 + 2 * MARGIN, HEAD + rows * self.size.1 + FOOT)
    }

    pub(super) fn draw(&self, canvas: &Canvas) -> anyhow::Result<()> {
        let points = || self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let x = range(points().map(|point| point.0), 0.0);
        let x = x.ok_or_else(|| anyhow::anyhow!("{}: there is nothing to draw", self.title))?;
        self.head(canvas)?;
        for (place, panel) in self.panels.iter().enumerate() {
            let (row, column) = (place / self.columns.max(1), place % self.columns.max(1));
            let corner = (MARGIN + column as u32 * self.size.0, HEAD + row as u32 * self.size.1);
            let area = canvas.clone().shrink(corner, self.size);
            panel.draw(&area, x.clone(), self.size)?;
        }
        let (width, height) = self.size();
        let style = text(14.0).pos(Pos::new(HPos::Center, VPos::Center));
        canvas.draw_text(&self.x, &style, ((width / 2) as i32, (height - FOOT / 2) as i32))?;
        Ok(())
    }

    /// The title, and below it the legend.
    fn head(&self, canvas: &Canvas) -> anyhow::Result<()> {
        let left = MARGIN as i32 + 8;
        canvas.draw_text(&self.title, &text(17.0).pos(Pos::new(HPos::Left, VPos::Center)), (left, ROW))?;
        let style = text(13.0).pos(Pos::new(HPos::Left, VPos::Center));
        let (mut x, y) = (left, 2 * ROW + 2);
        for (key, name) in self.keys.iter().enumerate() {
            canvas.draw(&PathElement::new(vec![(x, y), (x + 24, y)], colour(key).stroke_width(3)))?;
            canvas.draw_text(name, &style, (x + 30, y))?;
            x += 30 + canvas.estimate_text_size(name, &style)?.0 as i32 + 22;
        }
        Ok(())
    }
}

impl Panel {
    fn draw(&self, area: &Canvas, x: Range<f64>, (width, height): (u32, u32)) -> anyhow::Result<()> {
        // A number that has no logarithm is left out.
        let place = |&(x, y): &(f64, f64)| (x, if self.log_y { y.log10() } else { y });
        let points =
            |line: &Line| line.points.iter().map(place).filter(|point| point.1.is_finite()).collect::<Vec<_>>();
        let lines: Vec<Vec<(f64, f64)>> = self.lines.iter().map(points).collect();
        let own = || range(lines.iter().flatten().map(|point| point.1), 0.08);
        let y = self.y.clone().or_else(own).unwrap_or(0.0..1.0);
        let label = text(11.0);
        area.draw_text(&self.title, &text(12.0).pos(Pos::new(HPos::Left, VPos::Top)), (8, 4))?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(22)
            .margin_right(14)
            .margin_bottom(6)
            .x_label_area_size(20)
            .y_label_area_size(52)
            .build_cartesian_2d(x, y.clone())?;
        let y_tick = |value: &f64| figure(if self.log_y { 10f64.powf(*value) } else { *value });
        let x_tick = |value: &f64| tick(*value);
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(INK.mix(0.13))
            .axis_style(INK)
            .x_labels((width / 70).clamp(2, 10) as usize)
            .y_labels((height / 36).clamp(3, 9) as usize)
            .label_style(label)
            .x_label_formatter(&x_tick)
            .y_label_formatter(&y_tick)
            .draw()?;
        for (line, points) in self.lines.iter().zip(lines) {
            let points = points.into_iter().map(|(x, value)| (x, value.clamp(y.start, y.end)));
            let (colour, points) = (colour(line.key), points.collect::<Vec<_>>());
            let style = match line.stroke {
                Stroke::Faint => colour.mix(0.25).stroke_width(1),
                _ => colour.stroke_width(2),
            };
            // One point makes no line.
            if line.stroke == Stroke::Dotted || points.len() == 1 {
                chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
            }
            chart.draw_series(LineSeries::new(points, style))?;
        }
        Ok(())
    }
}

fn colour(key: usize) -> RGBColor {
    COLOURS[key % COLOURS.len()]
}

/// A number in three digits.
fn figure(value: f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".to_owned();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = (2.0 - size.log10().floor()).clamp(0.0, 5.0) as usize;
    let rounded = format!("{value:.decimals$}");
    match rounded.contains('.') {
        true => rounded.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => rounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Picture;

    #[test]
    fn figures_are_short() {
        let shown: Vec<_> = [0.0, 0.01234, 0.1, 1.25, 12.5, 1234.5, 0.0001234, 120000.0].map(figure).into();
        assert_eq!(shown, ["0", "0.0123", "0.1", "1.25", "12.5", "1234", "1.2e-4", "1.2e5"]);
    }

    #[test]
    fn every_panel_and_key_is_in_the_picture() {
        let line = |key, points| Line { key, stroke: Stroke::Plain, points };
        let panel = |title: &str, lines| Panel { title: title.to_owned(), log_y: true, y: None, lines };
        let panels = vec![
            panel("conv1 weights", vec![line(0, vec![(1.0, 0.5), (9.0, 0.25)]), line(1, vec![(1.0, 1.0)])]),
            panel("conv1 activations", vec![line(0, vec![(1.0, 0.0), (9.0, 0.1)])]),
            panel("conv2 weights", vec![]),
        ];
        let keys = vec!["4 bits".to_owned(), "2 bits".to_owned()];
        let x = "steps".to_owned();
        let picture = Panels { title: "step sizes".into(), x, keys, columns: 2, size: (260, 150), panels };
        assert_eq!(picture.size(), (2 * 260 + 32, 2 * 150 + 100));
        let svg = Picture::Panels(picture.clone()).svg().unwrap();
        for words in ["step sizes", "steps", "4 bits", "2 bits", "conv1 weights", "conv1 activations", "conv2 weights"]
        {
            assert!(svg.contains(words), "{words} is not in {svg}");
        }
        let nothing = Panels { panels: vec![], ..picture };
        assert!(Picture::Panels(nothing).svg().unwrap_err().to_string().contains("nothing to draw"));
    }
}
