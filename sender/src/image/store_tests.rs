//! A cache holds whole images, each pulled by one, in a folder that only its user can change.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use super::*;

struct Corner {
    base: tempfile::TempDir,
    cache: ImageCache,
}

fn corner(bytes: u64) -> Corner {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().to_str().unwrap().to_owned();
    Corner { base, cache: ImageCache { path, folder: None, bytes } }
}

impl Corner {
    fn store(&self) -> Store {
        Store::in_cache(&self.cache).unwrap()
    }

    fn ours(&self) -> PathBuf {
        self.base.path().join(rustix::process::geteuid().as_raw().to_string())
    }
}

/// An image of about this size.
fn image(size: usize) -> Vec<u8> {
    sif::image(&[("data", &vec![0; size])])
}

/// "Pulls" an image.
fn pull(store: &Store, name: &str, size: usize) -> Kept {
    let _lock = store.try_lock(name).unwrap().unwrap();
    fs::write(store.part(name), image(size)).unwrap();
    store.keep(name).unwrap()
}

fn used(kept: &Kept, minutes_ago: u64) {
    let then = SystemTime::now() - Duration::from_secs(60 * minutes_ago);
    File::open(record::path(&kept.path)).unwrap().set_modified(then).unwrap();
    kept.in_use.set_times(FileTimes::new().set_modified(then).set_accessed(then)).unwrap();
}

#[test]
fn a_name_is_a_plain_file_name_and_tells_images_and_logins_apart() {
    let names = [
        name("docker://a", None),
        name("docker://b", None),
        name("docker://a", Some("bWU6eA==")),
        name("../../../etc/passwd", None),
        name("", None),
    ];
    for (n, one) in names.iter().enumerate() {
        assert!(one.len() == 64 && one.chars().all(|c| c.is_ascii_hexdigit()), "{one}");
        assert!(!names[..n].contains(one));
    }
    assert_eq!(name("docker://a", None), names[0]);
}

#[test]
fn what_was_pulled_is_found_whole_or_not_at_all() {
    let corner = corner(u64::MAX);
    let store = corner.store();
    assert!(store.find("a").unwrap().is_none());
    let kept = pull(&store, "a", 10);
    assert_eq!(fs::read(&kept.path).unwrap(), image(10));
    assert_eq!(store.find("a").unwrap().unwrap().path, kept.path);
    assert!(!store.part("a").exists());

    fs::write(store.part("b"), &image(10)[..700]).unwrap();
    assert!(store.keep("b").is_err());
    assert!(store.find("b").unwrap().is_none());
    fs::write(&kept.path, b"").unwrap();
    assert!(store.find("a").unwrap().is_none());
}

#[test]
fn only_one_has_the_right_to_pull_an_image() {
    let corner = corner(u64::MAX);
    let store = corner.store();
    let lock = store.try_lock("a").unwrap();
    assert!(lock.is_some());
    assert!(store.try_lock("a").unwrap().is_none());
    assert!(store.try_lock("b").unwrap().is_some());
    drop(lock);
    assert!(store.try_lock("a").unwrap().is_some());
}

#[test]
fn the_images_that_were_not_used_for_longest_go_and_those_in_use_stay() {
    let size = image(1000).len() as u64;
    let corner = corner(3 * size);
    let store = corner.store();
    let [a, b, c] = ["a", "b", "c"].map(|name| pull(&store, name, 1000));
    for (kept, minutes) in [(&a, 30), (&b, 20), (&c, 10)] {
        used(kept, minutes);
    }
    drop((b, c));
    pull(&store, "d", 1000);
    let here = |name: &str| store.image_path(name).exists();
    assert_eq!(["a", "b", "c", "d"].map(here), [true, false, true, true]);

    drop(a);
    store.find("a").unwrap().unwrap();
    pull(&store, "e", 1000);
    assert_eq!(["a", "c", "d", "e"].map(here), [true, false, true, true]);
}

#[test]
fn what_dead_jobs_left_goes_and_what_living_ones_are_at_stays() {
    let corner = corner(0);
    let store = corner.store();
    let lock = store.try_lock("living").unwrap();
    for name in ["living", "dead"] {
        fs::write(store.part(name), b"half").unwrap();
    }
    drop(store.try_lock("dead").unwrap());
    pull(&store, "new", 1);
    assert!(store.part("living").exists() && !store.part("dead").exists());
    assert!(store.lock_path("living").exists() && !store.lock_path("dead").exists());
    drop(lock);
}

#[test]
fn a_folder_that_others_may_change_is_refused() {
    let corner = corner(1);
    let (base, ours) = (corner.base.path(), corner.ours());
    let refused = || Store::in_cache(&corner.cache).unwrap_err();

    fs::set_permissions(base, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(refused(), Error::Base(_)));
    fs::set_permissions(base, fs::Permissions::from_mode(0o1777)).unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), &ours).unwrap();
    assert!(matches!(refused(), Error::Foreign(_)));
    fs::remove_file(&ours).unwrap();

    fs::create_dir(&ours).unwrap();
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(refused(), Error::Foreign(_)));
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(corner.store().folder, ours);

    fs::remove_dir(&ours).unwrap();
    fs::write(&ours, b"").unwrap();
    assert!(matches!(refused(), Error::Foreign(_)));
    let missing = ImageCache { path: "/no/such".to_owned(), folder: None, bytes: 1 };
    assert!(Store::in_cache(&missing).unwrap_err().to_string().starts_with("/no/such: "));
}

#[test]
fn an_image_that_is_pulled_anew_replaces_the_one_in_use() {
    let corner = corner(u64::MAX);
    let store = corner.store();
    let old = pull(&store, "a", 10);
    used(&old, 10);
    let new = pull(&store, "a", 20);
    assert!(new.size > old.size);
    // Whoever runs the old one still has it.
    assert_eq!(old.in_use.metadata().unwrap().len(), old.size);
}

#[test]
fn an_image_that_was_changed_or_replaced_since_it_was_pulled_is_not_used() {
    let corner = corner(u64::MAX);
    let store = corner.store();
    let path = pull(&store, "a", 10).path;
    let here = || store.find("a").unwrap().is_some();
    assert!(here());
    // As another job of the same user would, even with the old time put back.
    let old = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = image(10);
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    assert!(!here());
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    assert!(!here(), "another file in its place");
    fs::write(&path, image(10)).unwrap();
    assert!(here(), "the same bytes again");
    pull(&store, "a", 20);
    assert!(here(), "pulled anew");
}

#[test]
fn an_image_of_an_earlier_release_is_recorded_when_it_is_first_used() {
    let corner = corner(u64::MAX);
    let store = corner.store();
    fs::write(store.image_path("a"), image(10)).unwrap();
    assert!(store.find("a").unwrap().is_some());
    fs::write(store.image_path("a"), image(11)).unwrap();
    assert!(store.find("a").unwrap().is_none());
    fs::write(record::path(&store.image_path("a")), b"junk").unwrap();
    assert!(store.find("a").unwrap().is_some());
}

#[test]
fn each_namespace_has_its_own_images_and_all_of_a_user_share_the_room() {
    let size = image(1000).len() as u64;
    let corner = corner(2 * size);
    let of = |name: &str| {
        let cache = ImageCache { folder: Some(name.to_owned()), ..corner.cache.clone() };
        Store::in_cache(&cache).unwrap()
    };
    let (one, other) = (of("ns-a"), of("ns-b"));
    let kept = pull(&one, "x", 1000);
    assert_eq!(kept.path, corner.ours().join("ns-a/x.sif"));
    assert!(other.find("x").unwrap().is_none() && corner.store().find("x").unwrap().is_none());
    used(&kept, 10);
    drop(kept);
    pull(&other, "y", 1000);
    pull(&other, "z", 1000);
    assert!(one.find("x").unwrap().is_none(), "the one not used for longest went");
    assert!(!record::path(&one.image_path("x")).exists());
    for bad in ["", ".", "..", "../x", "a/b"] {
        let cache = ImageCache { folder: Some(bad.to_owned()), ..corner.cache.clone() };
        assert!(matches!(Store::in_cache(&cache), Err(Error::Name(_))), "{bad:?}");
    }
}
