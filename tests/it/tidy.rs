//! House rules that can be checked.

use chat_server::config::Config;
use clap::CommandFactory;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// A file of the repository.
pub fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The files of a folder and of its folders, with any ending if it is empty.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if ending.is_empty() || path.extension().is_some_and(|it| it == ending) {
            found.push(path);
        }
    }
    found
}

/// The names of all settings.
pub fn settings() -> Vec<String> {
    let command = Config::command();
    let settings = command.get_arguments().filter_map(clap::Arg::get_env);
    settings.map(|name| name.to_str().unwrap().to_owned()).collect()
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for file in [files(&root().join("src"), "rs"), files(&root().join("tests"), "rs")].concat() {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is", file.display());
        assert!(text.lines().count() <= 300, "{} is too long", file.display());
        // rustfmt sees to the code but leaves comments as they are.
        let wide = |line: &&str| line.trim_start().starts_with("//") && line.chars().count() > 100;
        assert_eq!(text.lines().find(wide), None, "{}", file.display());
    }
}

#[test]
fn every_setting_is_in_the_readme_with_its_default() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for argument in Config::command().get_arguments() {
        let Some(name) = argument.get_env().and_then(|name| name.to_str()) else { continue };
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("README.md has no row for {name}"));
        for default in argument.get_default_values() {
            let default = format!("| `{}` |", default.to_str().unwrap());
            assert!(row.contains(&default), "README.md has another default for {name}: {row}");
        }
    }
}

#[test]
fn no_two_style_sheets_define_the_same_colour() {
    let mut seen = std::collections::HashMap::new();
    for file in files(&root().join("src/api/pages"), "css") {
        let text = std::fs::read_to_string(&file).unwrap();
        let definitions = text.lines().map(str::trim).filter(|line| line.contains(": light-dark("));
        for definition in definitions {
            let (_, colour) = definition.split_once(": ").unwrap();
            let other = seen.insert(colour.to_owned(), file.clone());
            assert_eq!(other, None, "{} repeats {definition}", file.display());
        }
    }
    assert!(seen.len() > 8, "{seen:?}");
}

#[test]
fn sql_is_only_in_the_store() {
    for file in files(&root().join("src"), "rs") {
        if file.starts_with(root().join("src/store")) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["select ", "insert into", "sqlx::query"] {
            assert!(!text.contains(word), "{} has SQL", file.display());
        }
    }
}

/// The modules of a folder of `src/`, as it lists them, but not those that only tests have.
fn modules(folder: &str) -> Vec<String> {
    let file = if folder.is_empty() { "lib.rs".into() } else { format!("{folder}/mod.rs") };
    let text = std::fs::read_to_string(root().join("src").join(file)).unwrap();
    let text = text.replace("#[cfg(test)]\nmod ", "");
    let names = text.lines().map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    names.filter_map(|name| Some(name?.strip_suffix(';')?.to_owned())).collect()
}

/// Takes in the paths that a tree such as `a::{b, c::d}` means; returns what follows it.
fn expand<'a>(tree: &'a str, start: &str, paths: &mut Vec<String>) -> &'a str {
    if let Some(mut rest) = tree.strip_prefix('{') {
        while !rest.starts_with('}') {
            let next = expand(rest.trim_start(), start, paths);
            rest = next[next.find([',', '}']).unwrap()..].trim_start_matches(',').trim_start();
        }
        return &rest[1..];
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let path = format!("{start}{}", &tree[..end]);
    if let Some(rest) = tree[end..].strip_prefix("::") {
        return expand(rest, &format!("{path}/"), paths);
    }
    paths.push(path);
    &tree[end..]
}

/// Whether a module stands below what it names, or beside it without an order.
fn climbs(module: &str, path: &str) -> bool {
    let (from, to): (Vec<_>, Vec<_>) = (module.split('/').collect(), path.split('/').collect());
    let depth = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let folder = from[..depth].join("/");
    if depth == from.len() {
        return false;
    }
    let place = |name: Option<&&str>| modules(&folder).iter().position(|it| Some(&&**it) == name);
    // What is no module of the folder is what its `mod.rs` defines, which is above all of them.
    place(to.get(depth)) < place(from.get(depth))
}

#[test]
fn modules_import_only_what_stands_below_them() {
    let src = root().join("src");
    let mut climbing = Vec::new();
    for file in files(&src, "rs") {
        let module = file.strip_prefix(&src).unwrap().with_extension("");
        let module = module.to_str().unwrap().trim_end_matches("/mod");
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().lines();
        let code: Vec<_> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
        let (code, parent) = (code.join("\n"), module.rsplit_once('/').map_or("", |it| it.0));
        for (start, prefix) in [("crate::", String::new()), ("super::", format!("{parent}/"))] {
            let mut paths = Vec::new();
            for tree in code.split(start).skip(1) {
                expand(tree, prefix.trim_start_matches('/'), &mut paths);
            }
            let up = paths.into_iter().filter(|path| climbs(module, path));
            climbing.extend(up.map(|path| format!("{module} -> {path}")));
        }
    }
    assert!(climbing.is_empty(), "{climbing:#?}");
}

/// The rest of the first line of a file that begins like this.
fn value(file: &str, start: &str) -> String {
    let text = text(file);
    let found = text.lines().find_map(|line| line.trim_start().strip_prefix(start));
    found.unwrap_or_else(|| panic!("{file} has no line with {start}")).trim_matches('"').to_owned()
}

#[test]
fn everything_that_is_released_together_has_the_same_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(value("helm/chat-server/Chart.yaml", "version: "), version);
    assert_eq!(value("helm/chat-server/Chart.yaml", "appVersion: "), version);
    assert_eq!(value("deploy/kubernetes/base/kustomization.yaml", "newTag: "), version);
    let compose = value("deploy/compose.yaml", "image: ghcr.io/chat-server/chat-server:");
    assert_eq!(compose, format!("${{CHAT_VERSION:-{version}}}"));
}

#[test]
fn pages_that_offer_a_release_say_so_while_there_is_none() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let mut versions = changelog.lines().filter(|line| line.starts_with("## ["));
    let released = versions.any(|line| line != "## [Unreleased]");
    let folders = ["docs", "helm", "deploy"].map(|folder| files(&root().join(folder), "md"));
    for page in [vec![root().join("README.md")], folders.concat()].concat() {
        let text = std::fs::read_to_string(&page).unwrap();
        let says_none = text.contains("**There is no release yet**");
        let offers = ["docker run", "helm install"].iter().any(|command| {
            text.lines().any(|line| line.starts_with(command) && line.contains("ghcr.io"))
        });
        assert!(!says_none || !released, "{}: there is a release", page.display());
        assert!(!offers || released || says_none, "{} offers a release", page.display());
    }
}

#[test]
fn scripts_find_the_binary_where_cargo_puts_it() {
    let scripts = ["tests/server.sh", "k6/tests/servers.py"];
    for script in scripts {
        let text = std::fs::read_to_string(root().join(script)).unwrap();
        let finds = text.contains("${CARGO_TARGET_DIR:-target}/")
            || text.contains("environ.get(\"CARGO_TARGET_DIR\", \"target\")");
        assert!(finds, "{script} ignores CARGO_TARGET_DIR");
    }
}

#[test]
fn the_image_is_built_with_the_toolchain_of_the_project() {
    let toolchain = value("rust-toolchain.toml", "channel = ");
    let image = value("Dockerfile", "ARG RUST_IMAGE=docker.io/library/rust:");
    assert!(toolchain.starts_with(image.split('-').next().unwrap()), "{toolchain}, {image}");
}

#[test]
fn the_chart_has_a_value_for_every_setting() {
    let template = root().join("helm/chat-server/templates/_environment.tpl");
    let template = std::fs::read_to_string(template).unwrap();
    // A pod's port is fixed.
    for setting in settings().into_iter().filter(|setting| setting != "ADDRESS_FILE") {
        let named = [format!("\n{setting}: "), format!("\"{setting}\"")];
        let found = named.iter().any(|name| template.contains(name));
        assert!(found, "the chart leaves out {setting}");
    }
}

/// Where people read. `src`, `tests/it` and `bench` are not clean yet.
const FOLDERS: [&str; 9] =
    [".github", "bench", "deploy", "docs", "helm", "k6", "migrations", "src", "tests"];
/// Begins the paths that are not checked: results that a program writes, a migration, whose
/// checksum is stored, and these words.
const UNCHECKED: [&str; 5] = [
    "docs/performance/results.md",
    "docs/performance/latency.svg",
    "docs/capacity/results.md",
    "migrations/sqlite/0001_messages.sql",
    "tests/it/tidy.rs",
];
/// Words of a translation. Plain English names the client, the operator, another session …
const FORBIDDEN: [&str; 9] =
    ["nobody", "somebody", "whoever", "anew", "shall", "mends", "of ours", "has it", "told so"];

/// The text files of the root and of `FOLDERS`, with their paths from the root.
fn read_by_people() -> Vec<(String, String)> {
    let root = root();
    let mut paths: Vec<PathBuf> = FOLDERS.iter().flat_map(|it| files(&root.join(it), "")).collect();
    let top = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(top.filter(|path| path.extension().is_some_and(|it| it == "md")));
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let texts = paths.iter().filter_map(|it| Some((name(it), std::fs::read_to_string(it).ok()?)));
    let other = |path: &str| path.contains("node_modules") || path.ends_with("LICENSE");
    texts
        .filter(|(path, _)| !UNCHECKED.iter().any(|it| path.starts_with(it)) && !other(path))
        .collect()
}

fn has_words(line: &str, words: &str) -> bool {
    let outside = |it: Option<char>| it.is_none_or(|it| !it.is_alphanumeric());
    line.match_indices(words).any(|(at, _)| {
        outside(line[..at].chars().next_back()) && outside(line[at + words.len()..].chars().next())
    })
}

#[test]
fn people_read_plain_english() {
    let texts = read_by_people();
    assert!(texts.len() > 100, "{}", texts.len());
    let mut found = Vec::new();
    for (path, text) in texts {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let words = FORBIDDEN.iter().filter(|words| has_words(&line, words));
            found.extend(words.map(|words| format!("{path}:{}: {words}", number + 1)));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn markdown_is_no_wider_than_120_columns() {
    let mut found = Vec::new();
    let is_markdown = |path: &str| Path::new(path).extension().is_some_and(|it| it == "md");
    for (path, text) in read_by_people().iter().filter(|(path, _)| is_markdown(path)) {
        let mut is_code = false;
        for (number, line) in text.lines().enumerate() {
            is_code ^= line.trim_start().starts_with("```");
            let one_link = line.starts_with('[') && line.matches("](").count() < 2;
            let may_be_wide = is_code || one_link || line.starts_with(['|', '`']);
            if !may_be_wide && !line.starts_with("    ") && line.chars().count() > 120 {
                found.push(format!("{path}:{}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
