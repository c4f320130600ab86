//! Where a source file is in a repository.

/// The path of a source file from the folder `root`, if it is in it; otherwise the whole path.
///
/// Compilers write paths of their own machine, and mix the signs between the folders; `/` it is in what
/// comes out. With a drive or a server in front, letters' case does not matter.
pub(super) fn path_in(file: &str, root: Option<&str>) -> String {
    let (start, folders) = parts(file);
    if let Some((root_start, root)) = root.map(parts)
        && root.len() < folders.len()
    {
        let has_case = matches!(&*start, "" | "/");
        let same = |one: &str, other: &str| match has_case {
            true => one == other,
            false => one.eq_ignore_ascii_case(other),
        };
        let mut pairs = root.iter().zip(&folders);
        if same(&root_start, &start) && pairs.all(|(one, other)| same(one, other)) {
            return folders[root.len()..].join("/");
        }
    }
    start + &folders.join("/")
}

/// What is in front of a path's folders (`/`, `C:/`, `//`, or nothing), and these, without those that a
/// `..` takes back.
fn parts(path: &str) -> (String, Vec<String>) {
    let path = path.replace('\\', "/");
    let length = match path.as_bytes() {
        [b'/', b'/', ..] => 2,
        [b'/', ..] => 1,
        [drive, b':', b'/', ..] if drive.is_ascii_alphabetic() => 3,
        _ => 0,
    };
    let (start, rest) = path.split_at(length);
    let mut folders: Vec<String> = Vec::new();
    for folder in rest.split('/') {
        let takes_back = folders.last().is_some_and(|last| last != "..");
        match folder {
            "" | "." => {}
            ".." if takes_back => _ = folders.pop(),
            ".." if length > 0 => {}
            _ => folders.push(folder.to_owned()),
        }
    }
    (start.to_owned(), folders)
}

#[cfg(test)]
mod tests {
    use super::path_in;
    use proptest::prelude::*;

    #[track_caller]
    fn check(file: &str, root: &str, expected: &str) {
        assert_eq!(path_in(file, Some(root)), expected);
    }

    #[test]
    fn files_in_the_folder_are_named_from_it() {
        check("/src/drv/a.c", "/src", "drv/a.c");
        check("/src/drv/a.c", "/src/", "drv/a.c");
        check("/src\\drv\\a.c", "/src/drv", "a.c");
        check(r"D:\a\repo\drv\A.c", r"d:\A\Repo", "drv/A.c");
        check(r"D:\a\repo\drv\..\lib\.\b.c", "D:/a/repo", "lib/b.c");
        check(r"\\server\share\x\b.c", "//SERVER/share", "x/b.c");
        check("drv/a.c", "", "drv/a.c");
    }

    #[test]
    fn other_files_keep_their_paths() {
        check("/srcs/a.c", "/src", "/srcs/a.c");
        check("/SRC/a.c", "/src", "/SRC/a.c");
        check("/src", "/src", "/src");
        check("/src/../etc/a.c", "/src", "/etc/a.c");
        check("src/a.c", "/src", "src/a.c");
        check(r"C:\a.c", r"D:\", "C:/a.c");
        check("../a.c", "..", "a.c");
        assert_eq!(path_in(r"C:\x\..\..\a.c", None), "C:/a.c");
        assert_eq!(path_in("../../a.c", None), "../../a.c");
    }

    proptest! {
        #[test]
        fn a_path_in_the_folder_comes_out(
            root in "(/|[C-D]:\\\\|)([a-z]{1,3}[/\\\\]){0,3}[a-z]{1,3}",
            file in "([a-z]{1,3}/){0,3}[a-z]{1,3}",
        ) {
            prop_assert_eq!(path_in(&format!("{root}\\{file}"), Some(&root)), file);
        }

        #[test]
        fn any_text_is_a_path(file: String, root: String) {
            let shown = path_in(&file, Some(&root));
            prop_assert!(!shown.contains('\\') && shown.len() <= file.len());
        }
    }
}
