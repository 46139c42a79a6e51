//! Tests of the rule that tells a hub's id from a path.

use lorelei_recipe::{HubId, id_and_revision, owner_and_name};

#[test]
fn ids_are_an_owner_and_a_name_with_or_without_a_revision() {
    for (name, id, revision) in [
        ("owner/name", "owner/name", None),
        ("Qwen/Qwen2.5-0.5B_x", "Qwen/Qwen2.5-0.5B_x", None),
        ("_a/b_", "_a/b_", None),
        // Python's `\w`, by which huggingface_hub decides, has the letters of all scripts.
        ("模型/鲸", "模型/鲸", None),
        ("owner/name@rev", "owner/name", Some("rev")),
        ("owner/name@refs/pr/1", "owner/name", Some("refs/pr/1")),
        ("owner/name@v@2", "owner/name", Some("v@2")),
        // A folder may be called so. Whoever has a file system looks there first.
        ("models/whale", "models/whale", None),
    ] {
        assert_eq!(HubId::parse(name), Some(HubId { id, revision }), "{name}");
        assert_eq!(id_and_revision(name), (id, revision), "{name}");
    }
}

#[test]
fn paths_and_bare_names_are_no_ids() {
    let (longest, long) = (format!("{}/b", "a".repeat(96)), format!("{}/b", "a".repeat(97)));
    assert!(owner_and_name(&longest).is_some());
    assert!(owner_and_name(&format!("a/{}", "鲸".repeat(33))).is_none());
    for name in [
        "",
        "gpt2",
        "gpt2@main",
        "./x",
        "./x@rev",
        "../x",
        "a/..",
        "..",
        "~/x",
        "~",
        "/x",
        "/a/b",
        "a/b/c",
        "a/",
        "owner/name/",
        "a//b",
        "C:\\x",
        "C:/x",
        "C:\\a/b",
        "a\\b",
        "builtin:tiny",
        "builtin:a/b",
        "hf://a/b",
        "owner/na me",
        " owner/name",
        "owner/name\n",
        "owner/name@",
        "@a/b",
        ".a/b",
        "a/-b",
        "a/b.",
        "a/b--c",
        "a/b..c",
        "a/b.git",
        "a/b?x",
        long.as_str(),
    ] {
        assert_eq!(HubId::parse(name), None, "{name:?}");
        assert_eq!(id_and_revision(name), (name, None), "{name:?}");
    }
}
