//! Latency, measured on a device: the sum over layers of the values in a file.
//!
//! The sum of separately measured layers is not the latency of the whole network: it does not include fusion, caching
//! and overlap between layers (Cai et al., ProxylessNAS, ICLR 2019, sec. 3.3, use and test such sums). The file's
//! columns are described in [`super::measured`].

use super::measured::{MeasuredCost, Measures, Quantity};

/// A file of latencies.
pub struct LatencyFile;

impl Measures for LatencyFile {
    const QUANTITY: Quantity = Quantity::Microseconds;
}

/// Measured nanoseconds for one image, summed over layers.
pub type LatencyTable = MeasuredCost<LatencyFile>;

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "latency_table",
    "latency for one image as measured on a device, from a CSV or JSON file",
    LatencyTable
);

#[cfg(test)]
mod tests {
    use crate::costs::measured::{Measured, MeasuredOptions, Quantity};
    use crate::models::{ResNet20, reference::imagenet};
    use limpq_core::graph::{Builder, Conv, Graph, Model};
    use limpq_core::ops::{Matmul, SplitHeads, Tokens};
    use limpq_core::registry;
    use limpq_core::search::{Accounting, CostModel, CostTable};

    const HEADER: &str = "layer,kind,in_shape,out_shape,kernel,stride,groups,w_bits,a_bits,microseconds";
    /// A signature of layer1 in ResNet-20 on 32x32 images.
    const CONV: &str = "conv,16x32x32,16x32x32,3,1,1";

    fn build_file(name: &str, text: &str, options: &str) -> Result<Box<dyn CostModel>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let options = format!("path = '{}'\n{options}", path.display()).parse().unwrap();
        registry::build::<dyn CostModel>("latency_table", &options)
            .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    fn build(rows: &str, options: &str) -> Result<Box<dyn CostModel>, String> {
        build_file("lat.csv", &format!("{HEADER}\n{rows}"), options)
    }

    fn graph() -> Graph {
        ResNet20::default().graph("3x32x32".parse().unwrap(), 10).unwrap()
    }

    fn at(model: &dyn CostModel, layer: &str, bits: &str) -> Option<u64> {
        let layer = graph().layers().into_iter().find(|other| other.name == layer).unwrap();
        let bits = bits.parse().unwrap();
        model.covers(&layer, bits).then(|| model.cost(&layer, bits, Accounting::Exact))
    }

    /// The error of `latency_table` for a CSV file with this text.
    fn refused(text: &str) -> String {
        let error = build_file("lat.csv", text, "").err().expect("it is refused");
        error.strip_prefix("cost \"latency_table\": ").unwrap().to_owned()
    }

    fn refused_row(row: &str) -> String {
        refused(&format!("{HEADER}\nlayer1.0.conv1,,,,,,,8,8,9\n{row}"))
    }

    #[test]
    fn a_layer_s_own_entry_wins_over_its_signature_s() {
        let rows = format!("# Pixel 9, one thread\n,{CONV},8,8,12.5\nlayer1.0.conv2,,,,,,,8,8,11.0004\n");
        let model = build(&rows, "").unwrap();
        assert_eq!(at(&*model, "layer1.0.conv1", "w8a8"), Some(12_500));
        assert_eq!(at(&*model, "layer1.0.conv2", "w8a8"), Some(11_000));
        assert_eq!(at(&*model, "layer1.0.conv2", "w4a8"), None);
        assert_eq!(at(&*model, "layer2.0.conv1", "w8a8"), None);
        model.check(&graph()).unwrap();
    }

    #[test]
    fn interpolates_only_if_asked() {
        let rows = format!(",{CONV},8,8,12\n,{CONV},4,8,8\n");
        let linear = build(&rows, "interpolate = 'linear'").unwrap();
        assert_eq!(at(&*linear, "layer1.0.conv1", "w5a8"), Some(9_000));
        assert_eq!(at(&*linear, "layer1.0.conv1", "w5a7"), None, "activations were measured at 8 bits only");
        assert_eq!(at(&*linear, "layer1.0.conv1", "w2a8"), None, "nothing is extrapolated");
        assert_eq!(at(&*build(&rows, "").unwrap(), "layer1.0.conv1", "w5a8"), None);
    }

    #[test]
    fn json_says_the_same_as_csv() {
        let json = r#"[{"layer": "layer1.0.conv1", "w_bits": 8, "a_bits": 4, "microseconds": 3.25},
            {"kind": "conv", "in_shape": "16x32x32", "out_shape": "16x32x32", "kernel": 3, "stride": 1, "groups": 1,
             "w_bits": 8, "a_bits": "8", "microseconds": 7}, {"layer": "fc", "w_bits": 8, "a_bits": 8, "microseconds": null}]"#;
        let model = build_file("lat.json", json, "").unwrap();
        assert_eq!(at(&*model, "layer1.0.conv1", "w8a4"), Some(3_250));
        assert_eq!(at(&*model, "layer1.2.conv2", "w8a8"), Some(7_000));
        assert_eq!(at(&*model, "fc", "w8a8"), None, "it has no number yet");
    }

    #[test]
    fn bad_files_are_refused_by_line() {
        assert_eq!(
            refused_row("layer1.0.conv2,,,,,,,8,8,-3"),
            "lat.csv:3: layer1.0.conv2 at w8a8: microseconds must be a number of 0..=1000000000000, got -3"
        );
        assert_eq!(
            refused_row("a,,,,,,,8,8,NaN"),
            "lat.csv:3: a at w8a8: microseconds must be a number of 0..=1000000000000, got NaN"
        );
        assert_eq!(
            refused_row("a,,,,,,,8,8,5ms"),
            "lat.csv:3: a at w8a8: cannot read microseconds \"5ms\"; expected a number such as 12.5"
        );
        assert_eq!(refused_row("a,,,,,,,0,8,5"), "lat.csv:3: w_bits: bit-width must be 1..=32, got 0");
        assert_eq!(refused_row("a,,,,,,,8,,5"), "lat.csv:3: a_bits is missing");
        assert_eq!(refused_row("a,8,8,5"), "lat.csv:3: 4 fields, and the header has 10");
        assert_eq!(
            refused_row(",,,,,,,8,8,5"),
            "lat.csv:3: it names no layer; give layer, or kind, in_shape, out_shape, kernel, stride, groups"
        );
        assert_eq!(
            refused_row(",conv,16x32x32,16x32x32,,1,1,8,8,5"),
            "lat.csv:3: a signature needs kind, in_shape, out_shape, kernel, stride, groups; missing: kernel"
        );
        assert_eq!(
            refused_row(",conv,16x32,16x32x32,3,1,1,8,8,5"),
            "lat.csv:3: cannot read in_shape \"16x32\"; expected CHANNELSxHEIGHTxWIDTH such as 64x56x56"
        );
        assert_eq!(
            refused_row(",pool,16x32x32,16x32x32,3,1,1,8,8,5"),
            "lat.csv:3: unknown kind \"pool\"; allowed: conv, linear, matmul"
        );
        assert_eq!(
            refused_row("layer1.0.conv1,,,,,,,8,8,7"),
            "lat.csv:3: layer1.0.conv1 at w8a8 is 7 microseconds here and 9 microseconds in lat.csv:2; keep one"
        );
        assert_eq!(
            refused_row("a,,,,,,,0,8,5\nb,,,,,,,8,8,-1"),
            "lat.csv:3: w_bits: bit-width must be 1..=32, got 0\n  lat.csv:4: b at w8a8: microseconds must be a number of 0..=1000000000000, got -1"
        );
    }

    #[test]
    fn bad_headers_and_files_are_refused() {
        const COLUMNS: &str = "layer, or kind, in_shape, out_shape, kernel, stride, groups (and dilation if it is not 1); and w_bits, a_bits, microseconds";
        assert_eq!(refused(""), format!("lat.csv has no entries; it needs {COLUMNS}"));
        assert_eq!(refused(HEADER), format!("lat.csv has no entries; it needs {COLUMNS}"));
        assert_eq!(
            refused("layer,w_bits,a_bits,milliseconds\na,8,8,1\n"),
            format!(
                "lat.csv:1: unknown column \"milliseconds\" (did you mean \"microseconds\"?); allowed: {COLUMNS}\n  lat.csv:1: column \"microseconds\" is missing; it needs {COLUMNS}"
            )
        );
        assert_eq!(
            refused("layer,layer,w_bits,a_bits,microseconds\na,a,8,8,1\n"),
            "lat.csv:1: column \"layer\" is given twice"
        );
        let json = build_file("lat.json", "{\"layer\": 3}", "").err().unwrap();
        assert!(json.contains("lat.json is not a list of entries: ") && json.contains("line 1 column"), "{json}");
        let json = build_file("lat.json", "[{\"layr\": \"a\", \"w_bits\": 8, \"a_bits\": [8]}]", "").err().unwrap();
        assert!(json.contains("lat.json: entry 1: unknown column \"layr\" (did you mean \"layer\"?)"), "{json}");
        assert!(json.contains("lat.json: entry 1: a_bits must be a number or text, got [8]"), "{json}");
        assert!(build_file("lat.txt", "", "").err().unwrap().ends_with("lat.txt: the name must end in .csv or .json"));
        let build = |options: &str| registry::build::<dyn CostModel>("latency_table", &options.parse().unwrap());
        let none = build("").err().unwrap().to_string();
        assert_eq!(
            none,
            "cost \"latency_table\": no file is given; set path to a .csv or .json file (limpq latency-template writes one to fill in)"
        );
        let missing = build("path = '/nowhere/lat.csv'").err().unwrap().to_string();
        assert!(missing.starts_with("cost \"latency_table\": cannot read /nowhere/lat.csv: "), "{missing}");
        assert!(build("pth = 'lat.csv'").err().unwrap().to_string().contains("unknown field `pth`"));
    }

    #[test]
    fn a_file_for_another_network_is_refused() {
        let check = |rows: &str, options: &str| {
            let folder = build(rows, options).unwrap().check(&graph()).map_err(|error| error.to_string());
            folder.map_err(|error| error.split_once("lat.csv").unwrap().1.to_owned())
        };
        assert_eq!(
            check("layer1.0.conv9,,,,,,,8,8,1", "").unwrap_err(),
            ":2: layer \"layer1.0.conv9\" is not in resnet20; nearest: layer1.0.conv2"
        );
        let elsewhere = ",conv,16x99x99,16x99x99,3,1,1,8,8,1";
        assert_eq!(
            check(elsewhere, "").unwrap_err(),
            ":2: no layer of resnet20 is conv 16x99x99 to 16x99x99, kernel 3, stride 1, groups 1"
        );
        check(elsewhere, "allow_unused = true").unwrap();
        assert_eq!(
            check("layer1.0.conv1,conv,16x56x56,16x56x56,3,1,1,8,8,1", "allow_unused = true").unwrap_err(),
            ":2: layer1.0.conv1 was measured as conv 16x56x56 to 16x56x56, kernel 3, stride 1, groups 1, and in this resnet20 \
             for 3x32x32 images it is conv 16x32x32 to 16x32x32, kernel 3, stride 1, groups 1"
        );
    }

    /// A dilated convolution and two products of activations, as in attention: 8 channels are 2 heads of dim 4, 16 tokens.
    fn dilated_and_products() -> Graph {
        let (mut b, x) = Builder::new("mixed", "8x4x4".parse().unwrap(), 3);
        let x = b.conv("plain", x, Conv::new(8, 3));
        let x = b.conv("dilated", x, Conv { dilation: [2, 2], padding: [2; 4], ..Conv::new(8, 3) });
        let x = b.apply("", Tokens {}, &[x]);
        let x = b.apply("", SplitHeads { heads: 2 }, &[x]);
        let y = b.apply("qk", Matmul { transpose: true, ..Matmul::default() }, &[x, x]);
        let x = b.apply("av", Matmul::default(), &[y, x]);
        b.classifier("fc", x);
        b.finish().unwrap()
    }

    #[test]
    fn dilation_and_products_are_in_signatures() {
        let graph = dilated_and_products();
        let rows = "conv,8x4x4,8x4x4,3,1,1,1,8,8,1\nconv,8x4x4,8x4x4,3,1,1,2,8,8,2\n\
                    matmul,2x16x4,2x16x16,1,1,1,,8,8,3\nmatmul,2x16x16,2x16x4,1,1,1,,8,8,4\n";
        let header = "kind,in_shape,out_shape,kernel,stride,groups,dilation,w_bits,a_bits,microseconds";
        let model = build_file("lat.csv", &format!("{header}\n{rows}"), "fixed_layers = false").unwrap();
        model.check(&graph).unwrap();
        let w8a8 = "w8a8".parse().unwrap();
        let found =
            graph.searchable().iter().map(|layer| model.cost(layer, w8a8, Accounting::Exact)).collect::<Vec<_>>();
        assert_eq!(found, [1_000, 2_000, 3_000, 4_000]);
        let without = build_file("lat.csv", &format!("{header}\nconv,8x4x4,8x4x4,3,1,1,3,8,8,1\n"), "").unwrap();
        let error = without.check(&graph).unwrap_err().to_string();
        let wanted = "no layer of mixed is conv 8x4x4 to 8x4x4, kernel 3, stride 1, groups 1, dilation 3";
        assert!(error.ends_with(wanted), "{error}");
        let text = crate::costs::measured::template(
            &graph,
            &[w8a8],
            true,
            Quantity::Microseconds,
            crate::costs::measured::Format::Csv,
        );
        assert_eq!(
            text,
            format!(
                "{header}\nconv,8x4x4,8x4x4,3,1,1,1,8,8,\nconv,8x4x4,8x4x4,3,1,1,2,8,8,\nmatmul,2x16x4,2x16x16,1,1,1,1,8,8,\n\
                 matmul,2x16x16,2x16x4,1,1,1,1,8,8,\nlinear,128x1x1,3x1x1,1,1,1,1,8,8,\n"
            )
        );
    }

    #[test]
    fn falling_numbers_are_errors_only_if_asked() {
        let rows = "layer1.0.conv1,,,,,,,4,8,12\nlayer1.0.conv1,,,,,,,8,8,11.5\nlayer1.0.conv1,,,,,,,8,4,11\n";
        build(rows, "").unwrap().check(&graph()).unwrap();
        let error = build(rows, "require_monotone = true").unwrap().check(&graph()).unwrap_err().to_string();
        assert_eq!(error, "layer1.0.conv1: w4a8 12 microseconds, w8a8 only 11.5 microseconds");
    }

    #[test]
    fn stem_and_classifier_count_unless_told_otherwise() {
        let rows: String = graph().layers().iter().map(|layer| format!("{},,,,,,,8,8,1\n", layer.name)).collect();
        let total = |options: &str| {
            let model = build(&rows, options).unwrap();
            let w8a8 = "w8a8".parse().unwrap();
            CostTable::new("latency", &*model, &graph(), [w8a8], Accounting::Exact).uniform(w8a8).unwrap()
        };
        assert_eq!(total(""), 22_000);
        assert_eq!(total("fixed_layers = false"), 20_000);
    }

    #[test]
    fn the_template_is_read_back_and_covers_the_network_once_filled_in() {
        use super::super::measured::{Format, template};
        let graph = imagenet(&ResNet20::default());
        let bits = ["w4a4", "w8a8"].map(|bits| bits.parse().unwrap());
        for by_signature in [false, true] {
            for (name, format) in [("lat.csv", Format::Csv), ("lat.json", Format::Json)] {
                let text = template(&graph, &bits, by_signature, Quantity::Microseconds, format);
                let filled = match format {
                    Format::Csv => text.replace(",\n", ",2.5\n"),
                    Format::Json => text.replace("null", "2.5"),
                };
                let folder = tempfile::tempdir().unwrap();
                let read = |text: &str| {
                    let path = folder.path().join(name);
                    std::fs::write(&path, text).unwrap();
                    let options = MeasuredOptions { path: path.display().to_string(), ..MeasuredOptions::default() };
                    Measured::read(options, Quantity::Microseconds).unwrap().audit(&graph, &bits)
                };
                // 20 searchable layers at two pairs, stem and classifier at one.
                let (empty, filled) = (read(&text), read(&filled));
                assert_eq!((empty.missing.len(), empty.needed, empty.measured), (42, 42, 0));
                assert_eq!((filled.missing.len(), filled.measured), (0, empty.blank));
                assert!(filled.unused.is_empty() && filled.mismatched.is_empty() && filled.falling.is_empty());
                // Alike: the stem; within the stages; the first of stages 2 and 3 and their projections; the classifier.
                assert_eq!(filled.measured, if by_signature { 1 + 2 * (3 + 2 + 2) + 1 } else { 42 });
            }
        }
    }
}
