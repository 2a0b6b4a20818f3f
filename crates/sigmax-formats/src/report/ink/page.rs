//! The frame of a page: head, style, the shapes that charts share.

use crate::report::ink::text::{name, plain};

/// The style sheet.
const STYLE: &str = include_str!("style.css");

/// The marks of the charts, drawn once: each has a shape of its own.
const MARKS: &str = r#"<svg width="0" height="0" class="defs" aria-hidden="true"><defs>
<path id="four" d="M0,-6V6"/>
<path id="least" d="M0,-5.5L4.5,0 0,5.5 -4.5,0z"/>
<path id="weighted" d="M-4.5,4.5L0,-4.5 4.5,4.5z"/>
<circle id="frame" r="4"/>
<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0,0V5" stroke="black" stroke-width="2.4"/></pattern>
</defs></svg>
"#;

/// A whole page.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{MARKS}<main>\n{body}\
         </main>\n</body>\n</html>\n",
        plain(title)
    )
}

/// The head line: what was done to which file.
pub(crate) fn header(what: &str, file: &str, sha256: Option<&str>) -> String {
    let hash = sha256.map_or(String::new(), |hash| {
        format!("<p class=\"hash\">SHA-256 {}</p>\n", plain(hash))
    });
    let short = file.rsplit(['/', '\\']).next().unwrap_or(file);
    format!(
        "<header>\n<p class=\"kind\">sigmax · {what}</p>\n<h1>{}</h1>\n{hash}</header>\n",
        name(short)
    )
}

/// A part of the page.
pub(crate) fn section(id: &str, title: &str, lead: &str, content: &str) -> String {
    let lead = if lead.is_empty() {
        String::new()
    } else {
        format!("<p class=\"lead\">{lead}</p>\n")
    };
    format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{lead}{content}</section>\n")
}

/// A table in a box that scrolls where it is too wide: heads, and rows of cells; the columns whose
/// head starts with `#` hold numbers.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
    let class = |head: &str| {
        if head.starts_with('#') {
            " class=\"n\""
        } else {
            ""
        }
    };
    for head in heads {
        out += &format!("<th{}>{}</th>", class(head), head.trim_start_matches('#'));
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in rows {
        out += "<tr>";
        for (cell, head) in row.iter().zip(heads) {
            out += &format!("<td{}>{cell}</td>", class(head));
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table></div>\n"
}

pub(crate) fn answer(text: &str, small: &str) -> String {
    format!("<p class=\"answer\">{text} <small>{small}</small></p>\n")
}

pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let items: String = facts
        .iter()
        .map(|(term, text)| format!("<div><dt>{term}</dt><dd>{text}</dd></div>\n"))
        .collect();
    format!("<dl class=\"facts\">\n{items}</dl>\n")
}

/// What "proved" means on a page.
pub(crate) const PROVED: &str = "A number called proved, and every “at least” and “at most”, is the \
                      conclusion of a theorem about the layer or network as the file defines it, \
                      with the rounding of this program’s own arithmetic included. Upper ends are \
                      rounded up at the last digit shown, lower ends down.";
/// What an estimate is.
pub(crate) const ESTIMATE: &str = "A number marked “est.” was computed without a proof and may be wrong \
                        in either direction. No decision about a limit rests on one.";

/// The entry of [`about`] that names a file.
pub(crate) fn file(file: &str, sha256: Option<&str>, format: &str) -> (&'static str, String) {
    let mut text = plain(file);
    if !format.is_empty() {
        text += &format!(" ({format})");
    }
    if let Some(hash) = sha256 {
        text += &format!(", SHA-256 {}", plain(hash));
    }
    ("File", text)
}

/// The end of a page: what it rests on.
pub(crate) fn about(entries: &[(&str, String)]) -> String {
    let mut items = String::new();
    let mut last = "";
    for (term, text) in entries {
        if *term != last {
            items += &format!("<dt>{term}</dt>");
        }
        items += &format!("<dd>{text}</dd>\n");
        last = term;
    }
    section(
        "about",
        "What this rests on",
        "",
        &format!("<dl class=\"about\">\n{items}</dl>\n"),
    )
}
