//! Tests of what is found, on folders of empty files.

use super::*;
use std::fs::File;

fn touch(root: &Path, names: &[&str]) {
    for name in names {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        File::create(root.join(name)).unwrap();
    }
}

/// Names of the images and the remarks, without the folder that it is in.
fn listed(root: &Path) -> (Vec<String>, Vec<String>) {
    let mut others = Others::default();
    let classes = classes(root, &mut others).unwrap();
    let images = images(root, &classes, 0, &mut others).unwrap();
    let name = |image: &Image| format!("{}/{}", classes[image.class as usize], image.name.display());
    let here = format!("{}/", root.display());
    (images.iter().map(name).collect(), others.remarks().iter().map(|remark| remark.replace(&here, "")).collect())
}

/// What `torchvision.datasets.ImageFolder` lists in `[path for path, _ in folder.samples]`.
#[test]
fn images_at_any_depth_come_in_torchvision_s_order() {
    let root = tempfile::tempdir().unwrap();
    touch(root.path(), &["cat/b.png", "cat/a/x/1.JPG", "cat/a-b/2.webp", "cat/a/10.png", "cat/a/9.tiff", "cat/Z.bmp"]);
    touch(root.path(), &["dog/only/deep/down.ppm", "dog/only/é.pgm", "dog/only/z.tif", "dog/x.PnG", "dog/x.jpeg"]);
    let (found, remarks) = listed(root.path());
    let expected = [
        "cat/Z.bmp",
        "cat/b.png",
        "cat/a/10.png",
        "cat/a/9.tiff",
        "cat/a-b/2.webp",
        "cat/a/x/1.JPG",
        "dog/x.PnG",
        "dog/x.jpeg",
        "dog/only/z.tif",
        "dog/only/é.pgm",
        "dog/only/deep/down.ppm",
    ];
    assert_eq!(found, expected);
    assert!(remarks.is_empty(), "{remarks:?}");
}

#[cfg(unix)]
#[test]
fn what_is_left_out_is_said() {
    use std::os::unix::{fs::symlink, net::UnixListener};
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    touch(
        root.path(),
        &["cat/a.png", "cat/notes.txt", "cat/x.png/in.png", "dog/a.png", "dog/b.gif", "dog/.hidden.png"],
    );
    touch(root.path(), &["beside.png", "README", "else/where.png"]);
    fs::remove_dir_all(at("else")).unwrap();
    symlink("nowhere", at("cat/broken.jpg")).unwrap();
    symlink("nowhere", at("gone")).unwrap();
    symlink("loop.png", at("cat/loop.png")).unwrap();
    symlink("/dev/zero", at("dog/zero.png")).unwrap();
    let _listener = UnixListener::bind(at("dog/socket.png")).unwrap();
    let (found, remarks) = listed(root.path());
    assert_eq!(found, ["cat/a.png", "cat/x.png/in.png", "dog/a.png"]);
    let expected = [
        "left out, since no image ends so (images end in jpg, jpeg, png, ppm, bmp, pgm, tif, tiff, webp): cat/notes.txt and 1 \
         more",
        "left out, since it is a pipe, a socket or a device: dog/socket.png and 1 more",
        "left out, since it is a link to nothing: gone and 2 more",
        "left out, since its name starts with a dot; torchvision would read it: dog/.hidden.png",
        "left out, since it is not in the folder of a class: beside.png",
        "a folder, though named like an image; the images in it are read: cat/x.png",
    ];
    assert_eq!(remarks, expected);
}

/// CPython's `os.walk(followlinks=True)` goes round until the system refuses the path: <https://bugs.python.org/issue1540>.
#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    touch(elsewhere.path(), &["more/far.png"]);
    touch(root.path(), &["cat/a.png", "cat/in/b.png", "dog/a.png"]);
    symlink(elsewhere.path(), root.path().join("cat/out")).unwrap();
    symlink(root.path().join("cat/in"), root.path().join("cat/same")).unwrap();
    symlink("..", root.path().join("cat/in/up")).unwrap();
    symlink(root.path(), root.path().join("dog/root")).unwrap();
    let (found, remarks) = listed(root.path());
    let of_cat = ["cat/a.png", "cat/in/b.png", "cat/out/more/far.png", "cat/same/b.png"];
    assert_eq!(found[..4], of_cat);
    // From the dog through the root to the cat, but to neither the root nor the dog once more.
    let of_dog: Vec<String> = of_cat.iter().map(|name| format!("dog/root/{name}")).collect();
    assert_eq!(found[4..], [vec!["dog/a.png".to_owned()], of_dog].concat());
    assert_eq!(remarks.len(), 1);
    assert!(
        remarks[0].starts_with("not followed, since it leads back to a folder above it: cat/in/up and "),
        "{remarks:?}"
    );
}
