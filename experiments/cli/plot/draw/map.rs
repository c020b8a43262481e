//! Colours over two axes.

use super::chart::{Canvas, SIZE, chart, labels, mesh, range, text, tick};
use plotters::prelude::*;

const NOTHING: RGBColor = RGBColor(225, 225, 225);

pub(super) fn draw(
    canvas: &Canvas,
    title: &str,
    axes: &[String; 3],
    cells: &[([f64; 4], Option<f64>)],
    empty: &str,
    marks: &[((f64, f64), String)],
) -> anyhow::Result<()> {
    let nothing = || anyhow::anyhow!("{title}: there is nothing to draw");
    let edges = |which: [usize; 2]| range(cells.iter().flat_map(move |(ends, _)| which.map(|end| ends[end])), 0.0);
    let values = range(cells.iter().filter_map(|(_, value)| *value), 0.0).ok_or_else(nothing)?;
    let (left, right) = canvas.split_horizontally(SIZE.0 - 120);
    let mut map = chart(&left, title, edges([0, 1]).ok_or_else(nothing)?, edges([2, 3]).ok_or_else(nothing)?)?;
    let share = |value: f64| (value - values.start) / (values.end - values.start);
    let colour = |value: f64| ViridisRGB.get_color(1.0 - share(value));
    map.draw_series(cells.iter().map(|&([x0, x1, y0, y1], value)| {
        let colour = value.map_or(NOTHING, colour);
        Rectangle::new([(x0, y0), (x1, y1)], colour.filled())
    }))?;
    mesh(&mut map, [&axes[0], &axes[1]], false, false)?;
    for &(point, _) in marks {
        map.draw_series([Circle::new(point, 4, WHITE.filled()), Circle::new(point, 4, BLACK.stroke_width(1))])?;
    }
    labels(&mut map, &marks.iter().map(|(point, label)| (*point, label.as_str())).collect::<Vec<_>>())?;
    let mut bar = ChartBuilder::on(&right)
        .margin(14)
        .margin_left(8)
        .margin_top(44)
        .margin_bottom(66)
        .right_y_label_area_size(70)
        .build_cartesian_2d(0.0..1.0, values.clone())?;
    const SHADES: usize = 64;
    let step = (values.end - values.start) / SHADES as f64;
    bar.draw_series((0..SHADES).map(|place| {
        let low = values.start + step * place as f64;
        Rectangle::new([(0.0, low), (1.0, low + step)], colour(low + step / 2.0).filled())
    }))?;
    let y_tick = |value: &f64| format!(" {}", tick(*value));
    bar.configure_mesh()
        .disable_mesh()
        .set_tick_mark_size(LabelAreaPosition::Right, 4)
        .disable_x_axis()
        .y_labels(9)
        .y_desc(&axes[2])
        .axis_desc_style(text(15.0))
        .label_style(text(13.0))
        .y_label_formatter(&y_tick)
        .draw()?;
    if cells.iter().any(|(_, value)| value.is_none()) {
        let (x, y) = (SIZE.0 as i32 - 118, SIZE.1 as i32 - 46);
        canvas.draw(&Rectangle::new([(x, y), (x + 14, y + 14)], NOTHING.filled()))?;
        canvas.draw_text(empty, &text(13.0), (x + 19, y))?;
    }
    Ok(())
}
