//! Pickles by hand: what they may hold, and what hostile ones ask for.

use sigmax_formats::{Format, Model};

use crate::build::{
    call, dict, floats, global, int, legacy, legacy_with, list, pickle, storage, tensor, text,
    tuple, zip,
};
use crate::inspect::{fails, layers, refused, skipped, values};

const ONE_TO_FOUR: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

fn square() -> Vec<u8> {
    tensor(4, 0, &[2, 2], &[2, 1])
}

fn opened(body: &[u8]) -> Model {
    Model::from_bytes("input", zip(body, &ONE_TO_FOUR)).unwrap()
}

/// Bytes pushed, a prefix that leaves nothing on the stack, then a state dict.
fn after(prefix: &[u8]) -> Vec<u8> {
    [prefix, b"0", &dict(&[("w", square())])].concat()
}

#[test]
fn both_layouts() {
    let body = dict(&[("fc.weight", square())]);
    for (bytes, format) in [
        (zip(&body, &ONE_TO_FOUR), Format::TorchZip),
        (legacy(&body, &ONE_TO_FOUR), Format::TorchLegacy),
    ] {
        let model = Model::from_bytes("input", bytes).unwrap();
        assert_eq!(model.format, format);
        assert_eq!(values(&model, "fc"), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn names() {
    let sole = dict(&[
        ("epoch", int(3)),
        ("state_dict", dict(&[("fc.weight", square())])),
    ]);
    assert_eq!(layers(&opened(&sole)), ["fc [2, 2]"]);
    let twice = dict(&[("a", dict(&[("b", dict(&[("fc.weight", square())]))]))]);
    assert_eq!(layers(&opened(&twice)), ["fc [2, 2]"]);
    let two = dict(&[
        ("model", dict(&[("fc.weight", square())])),
        ("ema", dict(&[("fc.weight", square())])),
    ]);
    assert_eq!(layers(&opened(&two)), ["model.fc [2, 2]", "ema.fc [2, 2]"]);
    // Not a container: part of the key.
    let parallel = dict(&[("module.fc.weight", square())]);
    assert_eq!(layers(&opened(&parallel)), ["module.fc [2, 2]"]);
    let bare = dict(&[("fc", dict(&[("weight", square())]))]);
    assert_eq!(layers(&opened(&bare)), ["fc [2, 2]"]);
    assert_eq!(
        layers(&opened(&list(&[square(), square()]))),
        ["0 [2, 2]", "1 [2, 2]"]
    );
    assert_eq!(layers(&opened(&square())), ["tensor [2, 2]"]);
    fails(
        zip(&dict(&[("w", square()), ("w", square())]), &ONE_TO_FOUR),
        &["\"w\" twice"],
    );
}

#[test]
fn optimiser_state_anywhere() {
    let optimiser = dict(&[
        ("state", dict(&[("m", square())])),
        ("param_groups", list(&[])),
    ]);
    let body = dict(&[
        ("state_dict", dict(&[("w", square())])),
        ("optimizer_states", list(&[optimiser])),
    ]);
    let model = opened(&body);
    assert_eq!(layers(&model), ["w [2, 2]"]);
    assert_eq!(
        skipped(&model),
        ["optimiser state: optimizer_states.0.state.m"]
    );
}

#[test]
fn nothing_is_called() {
    let marker = std::env::temp_dir().join(format!("sigmax-called-{}", std::process::id()));
    let command = format!("touch {}", marker.display());
    for name in [
        "posix.system",
        "os.system",
        "subprocess.call",
        "builtins.eval",
    ] {
        let model = opened(&dict(&[
            ("w", square()),
            ("x", call(name, &[text(&command)])),
        ]));
        assert_eq!(layers(&model), ["w [2, 2]"]);
    }
    assert!(!marker.exists());
}

#[test]
fn values_of_other_classes_are_passed_over() {
    let namespace = [
        &call(
            "copyreg._reconstructor",
            &[
                global("argparse.Namespace"),
                global("builtins.object"),
                b"N".to_vec(),
            ],
        )[..],
        &dict(&[("lr", b"G?\xb9\x99\x99\x99\x99\x99\x9a".to_vec())]),
        b"b",
    ]
    .concat();
    let scalar = call(
        "numpy.core.multiarray.scalar",
        &[call("numpy.dtype", &[text("f8")]), text("12345678")],
    );
    let made = [
        &global("somewhere.Thing")[..],
        b")\x81",
        &dict(&[("n", int(1))]),
        b"b",
    ]
    .concat();
    let old = b"(isomewhere\nThing\n(csomewhere\nThing\nK\x01o\x86".to_vec();
    let model = opened(&dict(&[
        ("args", namespace),
        ("best", scalar),
        ("thing", made),
        ("old", old),
        ("w", square()),
    ]));
    assert_eq!(layers(&model), ["w [2, 2]"]);
    assert!(refused(&model).is_empty());
}

/// Only what cannot be a weight is passed over.
#[test]
fn numpy_arrays_that_may_be_weights_are_refused_by_name() {
    let array = |module: &str, shape: &[Vec<u8>]| {
        let made = call(
            &format!("numpy.{module}.multiarray._reconstruct"),
            &[global("numpy.ndarray"), tuple(&[int(0)]), text("b")],
        );
        let dtype = call("numpy.dtype", &[text("f4")]);
        let state = tuple(&[int(1), tuple(shape), dtype, b"\x89".to_vec(), text("data")]);
        [made, state, b"b".to_vec()].concat()
    };
    let buffer = |shape: &[Vec<u8>]| {
        let dtype = call("numpy.dtype", &[text("f4")]);
        let arguments = [text("data"), dtype, tuple(shape), text("C")];
        call("numpy._core.numeric._frombuffer", &arguments)
    };
    let model = opened(&dict(&[
        ("a.weight", array("core", &[int(2), int(2)])),
        ("b.weight", array("_core", &[int(2), int(2), int(3)])),
        ("c.weight", buffer(&[int(4), int(1)])),
        ("history", array("core", &[int(7)])),
        ("best", array("_core", &[])),
        ("steps", buffer(&[int(9)])),
        ("w", square()),
    ]));
    assert_eq!(layers(&model), ["w [2, 2]"]);
    let expected = ["a.weight", "b.weight", "c.weight"].map(|name| format!("NumPy array: {name}"));
    assert_eq!(refused(&model), expected);
}

/// A scale that is a number of Python, a weight that is a list: the gate does not pass over them.
#[test]
fn what_is_no_tensor_where_a_weight_would_be() {
    let number = b"G?\xb9\x99\x99\x99\x99\x99\x9a".to_vec();
    let model = opened(&dict(&[
        ("a.weight", square()),
        ("a.weight_scale", number.clone()),
        ("b.weight", list(&[int(1), int(2)])),
        ("c.weight", storage("torch.FloatStorage", "0", 4)),
        ("epoch", int(3)),
        ("weight_decay", number),
        ("d.weight", square()),
    ]));
    assert_eq!(layers(&model), ["d [2, 2]"]);
    let mut found = refused(&model);
    found.sort_unstable();
    let expected = [
        "no tensor: b.weight",
        "no tensor: c.weight",
        "quantised weight: a",
    ];
    assert_eq!(found, expected);
}

#[test]
fn tensors_that_a_class_makes_are_refused_by_name() {
    let subclass = call(
        "torch._tensor._rebuild_from_type_v2",
        &[
            global("torchao.dtypes.rebuild"),
            global("torchao.dtypes.Quantised"),
            tuple(&[square()]),
            b"N".to_vec(),
        ],
    );
    let wrapper = call("somewhere.wrap", &[square()]);
    let inner = [
        global("torch.storage._load_from_bytes"),
        tuple(&[text("x")]),
        b"R".to_vec(),
    ]
    .concat();
    let arguments = [
        inner,
        int(0),
        tuple(&[int(2), int(2)]),
        tuple(&[int(2), int(1)]),
    ];
    let pickled = call("torch._utils._rebuild_tensor_v2", &arguments);
    let model = opened(&dict(&[("a", subclass), ("b", wrapper), ("c", pickled)]));
    assert_eq!(
        refused(&model),
        [
            "tensor of another class: a",
            "tensor of another class: b",
            "pickled storage: c"
        ]
    );
    assert!(
        model.skipped.refused[0]
            .reason
            .contains("torchao.dtypes.Quantised")
    );
    // The plain tensor inside a subclass that keeps its layout is read.
    let square = square();
    let arguments = &square[global("torch._utils._rebuild_tensor_v2").len()..square.len() - 1];
    let kept = call(
        "torch._tensor._rebuild_from_type_v2",
        &[
            global("torch._utils._rebuild_tensor_v2"),
            global("somewhere.Named"),
            arguments.to_vec(),
            b"N".to_vec(),
        ],
    );
    assert_eq!(
        values(&opened(&dict(&[("w", kept)])), "w"),
        [1.0, 2.0, 3.0, 4.0]
    );
}

#[test]
fn old_protocols() {
    let body =
        b"(dp0\nVw\np1\nctorch._utils\n_rebuild_tensor\n((S'storage'\nctorch\nFloatStorage\n\
                 S\"0\"\nS'cpu'\nI4\ntQI0\n(I2\nL2L\nt(I2\nI1\nttRsVx\nI01\nsVy\nF1.5\nsg0\n.";
    let data = floats(&ONE_TO_FOUR);
    let entries: [(&str, &[u8]); 2] = [("data.pkl", body), ("data/0", &data)];
    let model = Model::from_bytes("input", crate::build::Zip::new(&entries).bytes()).unwrap();
    assert_eq!(values(&model, "w"), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn tensors_that_do_not_fit_their_storage() {
    let with = |tensor: Vec<u8>| zip(&dict(&[("w", tensor)]), &ONE_TO_FOUR);
    fails(
        with(tensor(4, 0, &[3, 2], &[2, 1])),
        &["tensor \"w\"", "need 24 bytes", "of 16"],
    );
    fails(
        with(tensor(4, 1, &[2, 2], &[2, 1])),
        &["offset 1", "need 20 bytes"],
    );
    fails(
        with(tensor(5, 0, &[2, 2], &[2, 1])),
        &["storage \"0\" has 16 bytes", "5 entries"],
    );
    fails(
        with(tensor(4, 0, &[1 << 40, 1 << 40], &[1, 1])),
        &["overflows"],
    );
    fails(with(tensor(4, 0, &[2, 2], &[i64::MAX, 1])), &["overflows"]);
    fails(with(tensor(4, i64::MAX, &[2, 2], &[2, 1])), &["overflows"]);
    fails(
        with(tensor(i64::MAX, 0, &[2, 2], &[2, 1])),
        &["16 bytes; expected"],
    );
    fails(
        with(tensor(4, 0, &[-2, 2], &[2, 1])),
        &["offset", "sizes", "natural"],
    );
    fails(
        with(tensor(4, 0, &[2, 2], &[-2, 1])),
        &["strides", "natural"],
    );
    fails(
        with(tensor(4, -1, &[2, 2], &[2, 1])),
        &["offset of a tensor"],
    );
    fails(
        with(tensor(-4, 0, &[2, 2], &[2, 1])),
        &["length of a storage"],
    );
    fails(
        with(tensor(4, 0, &[2, 2], &[2])),
        &["2 sizes and 1 strides"],
    );
    fails(with(tensor(4, 0, &[1; 65], &[1; 65])), &["65 axes"]);
    let missing = zip(&dict(&[("w", square())]), &ONE_TO_FOUR);
    let at = missing
        .windows(10)
        .rposition(|name| name == b"net/data/0")
        .unwrap();
    let mut missing = missing;
    missing[at + 9] = b'1';
    fails(
        missing,
        &["tensor \"w\"", "storage \"0\" is not in the file"],
    );
    // Strides of axes of length 1 may be anything.
    let idle = dict(&[("w", tensor(4, 0, &[4, 1], &[1, i64::MAX]))]);
    assert_eq!(values(&opened(&idle), "w"), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn untyped_storages_take_the_type_of_the_tensor() {
    let with = |dtype: &str| {
        let arguments = [
            storage("torch.storage.UntypedStorage", "0", 16),
            int(1),
            tuple(&[int(1), int(3)]),
            tuple(&[int(3), int(1)]),
            b"\x89".to_vec(),
            b"N".to_vec(),
            global(dtype),
        ];
        dict(&[("w", call("torch._utils._rebuild_tensor_v3", &arguments))])
    };
    assert_eq!(
        values(&opened(&with("torch.float32")), "w"),
        [2.0, 3.0, 4.0]
    );
    let packed = opened(&with("torch.float4_e2m1fn_x2"));
    assert_eq!(refused(&packed), ["float4_e2m1fn_x2: w"]);
    assert_eq!(skipped(&packed), [""; 0]);
    fails(
        zip(&with("torch.float64"), &ONE_TO_FOUR),
        &["need 32 bytes"],
    );
}

#[test]
fn absurd_lengths() {
    let open = |body: &[u8]| zip(&after(body), &ONE_TO_FOUR);
    let huge = (1u64 << 60).to_le_bytes();
    fails(
        open(&[b"\x8d", &huge[..]].concat()),
        &["1152921504606846976 bytes are needed"],
    );
    fails(
        open(&[b"\x8e", &huge[..]].concat()),
        &["1152921504606846976 bytes are needed"],
    );
    fails(open(&[b"\x95", &huge[..]].concat()), &["frame"]);
    fails(open(b"X\xff\xff\xff\xff"), &["4294967295 bytes are needed"]);
    fails(open(b"\x8b\xff\xff\xff\xff"), &["an integer of -1 bytes"]);
    fails(open(b"j\xff\xff\xff\xff"), &["memo 4294967295 is fetched"]);
    fails(open(b"g99999999999999999999\n"), &["memo index"]);
    fails(open(b"Inine\n"), &["\"nine\" is not an integer"]);
    fails(
        open(b"\x82\x01"),
        &["0x82", "not a pickle opcode that is read"],
    );
    fails(open(b"\x80\x07"), &["protocol 7"]);
    fails(open(b"K\x01Pkey\n"), &["persistent id"]);
    // Stored and fetched under indices that no array could have.
    let model = opened(&after(
        b"K\x01r\xff\xff\xff\xff0j\xff\xff\xff\xffp4294967296\n0g4294967296\n",
    ));
    assert_eq!(layers(&model), ["w [2, 2]"]);
    // Longer than any name, and skipped: the integers and texts of other things.
    let long = [&b"\x8a\xff"[..], &[7; 255], b"0", &text(&"x".repeat(5000))].concat();
    assert_eq!(layers(&opened(&after(&long))), ["w [2, 2]"]);
}

#[test]
fn stacks_that_do_not_add_up() {
    for (body, part) in [
        (&b"0"[..], "not there"),
        (b"1", "mark"),
        (b"t", "mark"),
        (b"(K\x01s", "not there"),
        (b"}(K\x01u", "a key without a value"),
        (b"K\x01K\x02a", "no list"),
        (b")K\x02K\x03s", "no dict"),
        (b"K\x01K\x02R", "no tuple"),
        (b"(\x86", "not there"),
        (b"K\x01Q", "no tuple"),
    ] {
        fails(zip(body, &ONE_TO_FOUR), &["malformed at offset", part]);
    }
}

#[test]
fn deep_nesting() {
    for (open, close) in [(&b"]"[..], &b"a"[..]), (b"", b"\x85"), (b"}K\x01", b"s")] {
        let body = [&open.repeat(100_000)[..], &square(), &close.repeat(100_000)].concat();
        fails(zip(&body, &ONE_TO_FOUR), &["nesting", "limit of 100"]);
    }
}

#[test]
fn sharing_without_end() {
    // 60 levels of [x, x]: 2⁶⁰ ways to the same tensor.
    let mut body = list(&[square()]);
    for level in 0..60 {
        body.extend([
            b'q', level, b'0', b']', b'h', level, b'a', b'h', level, b'a',
        ]);
    }
    assert_eq!(layers(&opened(&body)), ["0 [2, 2]"]);
    // A list in itself, and a dict in itself.
    let body = dict(&[
        ("list", b"]q\0h\0a".to_vec()),
        ("w", square()),
        ("dict", b"}q\x01K\x01h\x01s".to_vec()),
    ]);
    assert_eq!(layers(&opened(&body)), ["w [2, 2]"]);
}

#[test]
fn small_files_that_ask_for_much_work() {
    // A list of 30 000 pairs, turned into 3 000 dicts.
    let pair = tuple(&[int(1), int(2)]);
    let pairs = [
        &b"]("[..],
        &pair,
        b"q\x01",
        &b"h\x01".repeat(30_000),
        b"eq\x02",
    ]
    .concat();
    let again = [&global("collections.OrderedDict")[..], b"h\x02\x85R0"].concat();
    let body = [&pairs[..], &again.repeat(3000)].concat();
    fails(zip(&body, &ONE_TO_FOUR), &["pickle operations", "limit"]);
    // One tensor under 200 000 names.
    let body = [&square()[..], b"q\x010](", &b"h\x01".repeat(200_000), b"e"].concat();
    fails(zip(&body, &ONE_TO_FOUR), &["number of tensors", "100000"]);
    // 50 000 tensors, each with a name of a thousand bytes.
    let inner = [&b"]("[..], &b"h\x01".repeat(50_000), b"e"].concat();
    let body = [
        &square()[..],
        b"q\x010",
        &dict(&[(&"n".repeat(1000), inner)]),
    ]
    .concat();
    fails(zip(&body, &ONE_TO_FOUR), &["length of all names"]);
    // A dict of 100 000 items as the children of 20 000 modules: walked once.
    let items = b"K\x01N".repeat(100_000);
    let children = [&b"}("[..], &items, b"uq\x01"].concat();
    let named = [
        &global("somewhere.Net")[..],
        b"q\x02",
        &text("_modules"),
        b"q\x03",
    ]
    .concat();
    let modules = b"h\x02)\x81}h\x03h\x01sb".repeat(20_000);
    let body = [&children[..], &named, b"](", &modules, &square(), b"e"].concat();
    assert_eq!(layers(&opened(&body)), ["20000 [2, 2]"]);
    fails(zip(&b"]".repeat(5 << 20), &ONE_TO_FOUR), &["values"]);
    fails(
        zip(
            &[&b"N"[..], &b"\x94".repeat(5 << 20)].concat(),
            &ONE_TO_FOUR,
        ),
        &["memo"],
    );
}

#[test]
fn legacy_layout() {
    let body = dict(&[("w", square())]);
    let system = |little: &[u8]| dict(&[("little_endian", little.to_vec())]);
    let keys = list(&[text("0")]);
    let with = |protocol, system: &[u8], body: &[u8], keys: &[u8]| {
        legacy_with(protocol, system, body, keys, &ONE_TO_FOUR)
    };
    fails(
        with(1000, &system(b"\x88"), &body, &keys),
        &["protocol number 1001"],
    );
    fails(
        with(1001, &system(b"\x89"), &body, &keys),
        &["byte order \"big\""],
    );
    fails(
        with(1001, &system(b"\x88"), &body, &text("0")),
        &["list of the storages' keys"],
    );
    fails(
        with(1001, &system(b"\x88"), &body, &list(&[text("1")])),
        &["\"1\" that no tensor"],
    );
    let missing = with(1001, &system(b"\x88"), &body, b"]");
    fails(missing, &["tensor \"w\"", "not in the file"]);
    fails(
        legacy(
            &dict(&[("w", tensor(5, 0, &[2, 2], &[2, 1]))]),
            &ONE_TO_FOUR,
        ),
        &["has 4 entries; expected 5"],
    );
    let huge = tensor(i64::MAX, 0, &[2, 2], &[2, 1]);
    let mut bytes = legacy(&dict(&[("w", huge)]), &ONE_TO_FOUR);
    let at = bytes.len() - 24;
    bytes[at..at + 8].copy_from_slice(&i64::MAX.to_le_bytes());
    fails(bytes, &["9223372036854775807 entries"]);
    let twice = dict(&[("a", square()), ("b", tensor(3, 0, &[1, 3], &[3, 1]))]);
    fails(legacy(&twice, &ONE_TO_FOUR), &["declared twice"]);
    fails(
        pickle(&dict(&[("w", int(1))])),
        &["a pickle that torch.save did not write"],
    );
}

#[test]
fn parts_of_legacy_storages() {
    let with = |start, length| {
        let part = tuple(&[text("v"), int(start), int(length)]);
        let id = [
            text("storage"),
            global("torch.FloatStorage"),
            text("0"),
            text("cpu"),
            int(4),
            part,
        ];
        let storage = [&tuple(&id)[..], b"Q"].concat();
        let arguments = [
            storage,
            int(0),
            tuple(&[int(1), int(2)]),
            tuple(&[int(2), int(1)]),
        ];
        legacy(
            &dict(&[("w", call("torch._utils._rebuild_tensor", &arguments))]),
            &ONE_TO_FOUR,
        )
    };
    let model = Model::from_bytes("input", with(1, 3)).unwrap();
    assert_eq!(values(&model, "w"), [2.0, 3.0]);
    fails(with(1, 1), &["need 8 bytes", "of 4"]);
    fails(with(3, 2), &["not inside its storage"]);
}

#[test]
fn pickled_modules() {
    let module = |parameters: Vec<u8>, children: Vec<u8>| {
        let state = dict(&[
            ("training", b"\x88".to_vec()),
            ("_parameters", parameters),
            (
                "_buffers",
                dict(&[("blur", square()), ("steps", tensor(1, 0, &[], &[]))]),
            ),
            ("_modules", children),
            ("stages", list(&[square()])),
        ]);
        [&global("somewhere.Net")[..], b")\x81", &state, b"b"].concat()
    };
    let parameter = call(
        "torch._utils._rebuild_parameter",
        &[square(), b"\x88".to_vec()],
    );
    let leaf = module(
        dict(&[("weight", parameter), ("bias", b"N".to_vec())]),
        dict(&[]),
    );
    let net = module(dict(&[]), dict(&[("fc", leaf)]));
    let model = opened(&dict(&[("model", net), ("epoch", int(1))]));
    // Buffers, and what a module holds without registering it, are computed with as well.
    let all = ["blur", "fc", "fc.blur", "fc.stages.0", "stages.0"];
    assert_eq!(layers(&model), all.map(|name| format!("{name} [2, 2]")));
    assert_eq!(skipped(&model), ["buffer: steps fc.steps"]);
    // Old files name the class by a persistent id with its source.
    let id = tuple(&[
        text("module"),
        global("somewhere.Net"),
        text("net.py"),
        text("class Net: ..."),
    ]);
    let state = dict(&[
        ("_parameters", dict(&[("weight", square())])),
        ("_modules", dict(&[])),
    ]);
    let body = [&id[..], b"Q)\x81", &state, b"b"].concat();
    let model = Model::from_bytes("input", legacy(&body, &ONE_TO_FOUR)).unwrap();
    assert_eq!(layers(&model), ["weight [2, 2]"]);
}
