//! Zip archives, pickles and legacy files, byte by byte.

use std::io::Write;

/// How an archive departs from what `torch.save` writes.
#[derive(Clone, Default)]
pub(crate) struct Zip {
    pub(crate) entries: Vec<(String, Vec<u8>)>,
    /// 64-bit sizes and end record.
    pub(crate) wide: bool,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    /// Instead of the true number of entries.
    pub(crate) count: Option<u64>,
    /// Adds to the length of every entry in the directory.
    pub(crate) longer: u64,
    /// All lines of the directory lead to the first entry.
    pub(crate) same_place: bool,
    pub(crate) comment: Vec<u8>,
}

impl Zip {
    pub(crate) fn new(entries: &[(&str, &[u8])]) -> Self {
        let entries = entries.iter().map(|&(n, d)| (n.to_owned(), d.to_vec()));
        Self {
            entries: entries.collect(),
            ..Self::default()
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, data) in &self.entries {
            let header = if self.same_place { 0 } else { out.len() as u64 };
            let mut crc = flate2::Crc::new();
            crc.update(data);
            let size = data.len() as u64 + self.longer;
            let data = if self.method == 8 {
                &deflate(data)
            } else {
                data
            };
            let length = data.len() as u64 + self.longer;
            out.extend(b"PK\x03\x04");
            shorts(&mut out, &[20, self.flags, self.method, 0, 0]);
            words(&mut out, &[crc.sum(), data.len() as u32, size as u32]);
            shorts(&mut out, &[name.len() as u16, 5]);
            out.extend(name.bytes());
            out.extend(b"FB\x01\x00Z"); // padding, as torch.save writes it
            out.extend(data);
            directory.extend(b"PK\x01\x02");
            shorts(&mut directory, &[20, 20, self.flags, self.method, 0, 0]);
            let narrow = |value: u64| if self.wide { u32::MAX } else { value as u32 };
            words(&mut directory, &[crc.sum(), narrow(length), narrow(size)]);
            let extra = if self.wide { 28 } else { 0 };
            shorts(&mut directory, &[name.len() as u16, extra, 0, 0, 0]);
            words(&mut directory, &[0, narrow(header)]);
            directory.extend(name.bytes());
            if self.wide {
                shorts(&mut directory, &[1, 24]);
                longs(&mut directory, &[size, length, header]);
            }
        }
        let count = self.count.unwrap_or(self.entries.len() as u64);
        let (start, length) = (out.len() as u64, directory.len() as u64);
        out.extend(directory);
        if self.wide {
            let at = out.len() as u64;
            out.extend(b"PK\x06\x06");
            longs(&mut out, &[44]);
            shorts(&mut out, &[45, 45]);
            words(&mut out, &[0, 0]);
            longs(&mut out, &[count, count, length, start]);
            out.extend(b"PK\x06\x07");
            words(&mut out, &[0]);
            longs(&mut out, &[at]);
            words(&mut out, &[1]);
        }
        let narrow = |value: u64| if self.wide { u32::MAX } else { value as u32 };
        let count = if self.wide { u16::MAX } else { count as u16 };
        out.extend(b"PK\x05\x06");
        shorts(&mut out, &[0, 0, count, count]);
        words(&mut out, &[narrow(length), narrow(start)]);
        shorts(&mut out, &[self.comment.len() as u16]);
        out.extend(&self.comment);
        out
    }
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn shorts(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
}

fn words(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
}

fn longs(out: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
}

/// Little-endian f32 values.
pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A protocol 2 pickle.
pub(crate) fn pickle(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

/// An integer.
pub(crate) fn int(value: i64) -> Vec<u8> {
    [&[0x8a, 8], &value.to_le_bytes()[..]].concat()
}

/// A text.
pub(crate) fn text(value: &str) -> Vec<u8> {
    [
        &b"X"[..],
        &(value.len() as u32).to_le_bytes(),
        value.as_bytes(),
    ]
    .concat()
}

/// A tuple.
pub(crate) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [&b"("[..], &items.concat(), b"t"].concat()
}

/// A list.
pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [&b"]("[..], &items.concat(), b"e"].concat()
}

/// A dict.
pub(crate) fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items = items.iter().map(|(key, value)| [text(key), value.clone()]);
    [
        &b"}("[..],
        &items.flatten().collect::<Vec<_>>().concat(),
        b"u",
    ]
    .concat()
}

/// A call.
pub(crate) fn call(global: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    [&self::global(global)[..], &tuple(arguments), b"R"].concat()
}

/// A class or function, `module.name`.
pub(crate) fn global(name: &str) -> Vec<u8> {
    let (module, name) = name.rsplit_once('.').unwrap();
    format!("c{module}\n{name}\n").into_bytes()
}

/// The storage `key` with this many entries.
pub(crate) fn storage(class: &str, key: &str, entries: i64) -> Vec<u8> {
    let id = [
        text("storage"),
        global(class),
        text(key),
        text("cpu"),
        int(entries),
    ];
    [&tuple(&id)[..], b"Q"].concat()
}

/// A tensor of f32 in storage `0` of `entries` entries.
pub(crate) fn tensor(entries: i64, offset: i64, size: &[i64], stride: &[i64]) -> Vec<u8> {
    let integers = |values: &[i64]| tuple(&values.iter().map(|&v| int(v)).collect::<Vec<_>>());
    let arguments = [
        storage("torch.FloatStorage", "0", entries),
        int(offset),
        integers(size),
        integers(stride),
        b"\x89".to_vec(),
        call("collections.OrderedDict", &[]),
    ];
    call("torch._utils._rebuild_tensor_v2", &arguments)
}

/// A zip archive of a pickle with this body, and storage `0`.
pub(crate) fn zip(body: &[u8], data: &[f32]) -> Vec<u8> {
    let (pickle, data) = (pickle(body), floats(data));
    let entries: [(&str, &[u8]); 4] = [
        ("net/data.pkl", &pickle),
        ("net/byteorder", b"little"),
        ("net/data/0", &data),
        ("net/version", b"3\n"),
    ];
    Zip::new(&entries).bytes()
}

/// The same in the legacy layout.
pub(crate) fn legacy(body: &[u8], data: &[f32]) -> Vec<u8> {
    let key = list(&[text("0")]);
    legacy_with(
        1001,
        &dict(&[("little_endian", b"\x88".to_vec())]),
        body,
        &key,
        data,
    )
}

/// The same with other headers and keys.
pub(crate) fn legacy_with(
    protocol: i64,
    system: &[u8],
    body: &[u8],
    keys: &[u8],
    data: &[f32],
) -> Vec<u8> {
    let magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let pickles = [&magic[..], &int(protocol), system, body, keys];
    let mut out = pickles.map(pickle).concat();
    out.extend((data.len() as u64).to_le_bytes());
    out.extend(floats(data));
    out
}
