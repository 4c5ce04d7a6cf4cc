//! SIF, the file format of images: a header, a table of descriptors, and the data objects they name.
//! Numbers are little-endian. <https://github.com/apptainer/sif>

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const HEADER: usize = 128;
const MAGIC: (usize, &[u8]) = (32, b"SIF_MAGIC\0");
/// Of the header: how many descriptors, and where; then where all data lie, and how many bytes.
const DESCRIPTORS_TOTAL: usize = 88;
const DESCRIPTORS_OFFSET: usize = 96;
const DATA_OFFSET: usize = 112;
const DATA_SIZE: usize = 120;

const DESCRIPTOR: usize = 585;
/// Of a descriptor.
const USED: usize = 4;
const OFFSET: usize = 17;
const SIZE: usize = 25;
const NAME: std::ops::Range<usize> = 73..201;

/// Tables are made for 48 descriptors.
const DESCRIPTORS_MAX: u64 = 1024;
/// The objects that we read are a few kB.
const OBJECT_MAX: u64 = 4 << 20;

/// Whether it is an image, down to its last byte: one that lost its end in a crash is none.
pub fn is_whole(file: &File) -> bool {
    let length = file.metadata().map_or(0, |meta| meta.len());
    header(file).is_ok_and(|header| {
        let end = number(&header, DATA_OFFSET).checked_add(number(&header, DATA_SIZE));
        end.is_some_and(|end| end <= length)
    })
}

/// The bytes of the data object with this name.
pub fn object(file: &File, name: &str) -> io::Result<Option<Vec<u8>>> {
    let header = header(file)?;
    let first = number(&header, DESCRIPTORS_OFFSET);
    for n in 0..number(&header, DESCRIPTORS_TOTAL).min(DESCRIPTORS_MAX) {
        let mut descriptor = [0; DESCRIPTOR];
        file.read_exact_at(&mut descriptor, first.saturating_add(n * DESCRIPTOR as u64))?;
        let named = descriptor[NAME].split(|b| *b == 0).next() == Some(name.as_bytes());
        if descriptor[USED] == 0 || !named {
            continue;
        }
        let size = number(&descriptor, SIZE);
        if size > OBJECT_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, number(&descriptor, OFFSET))?;
        return Ok(Some(bytes));
    }
    Ok(None)
}

fn header(file: &File) -> io::Result<[u8; HEADER]> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    match header[MAGIC.0..].starts_with(MAGIC.1) {
        true => Ok(header),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes[at..at + 8].try_into().expect("eight bytes");
    u64::from_le_bytes(bytes)
}

/// The bytes of an image with these data objects, and nothing else in it.
#[cfg(test)]
pub fn image(objects: &[(&str, &[u8])]) -> Vec<u8> {
    let data = HEADER + objects.len() * DESCRIPTOR;
    let mut image = vec![0; data];
    let set = |image: &mut Vec<u8>, at: usize, value: usize| {
        image[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    };
    image[MAGIC.0..MAGIC.0 + MAGIC.1.len()].copy_from_slice(MAGIC.1);
    for (n, (name, bytes)) in objects.iter().enumerate() {
        let at = HEADER + n * DESCRIPTOR;
        let end = image.len();
        image[at + USED] = 1;
        set(&mut image, at + OFFSET, end);
        set(&mut image, at + SIZE, bytes.len());
        image[at + NAME.start..at + NAME.start + name.len()].copy_from_slice(name.as_bytes());
        image.extend_from_slice(bytes);
    }
    let size = image.len() - data;
    for (at, value) in [
        (DESCRIPTORS_TOTAL, objects.len()),
        (DESCRIPTORS_OFFSET, HEADER),
        (DATA_OFFSET, data),
        (DATA_SIZE, size),
    ] {
        set(&mut image, at, value);
    }
    image
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn an_object_is_found_by_its_whole_name() {
        let file = file(&image(&[("a.json.old", b"no"), ("a.json", b"yes"), ("b", b"")]));
        assert_eq!(object(&file, "a.json").unwrap().as_deref(), Some(&b"yes"[..]));
        assert_eq!(object(&file, "b").unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(object(&file, "a").unwrap(), None);
    }

    #[test]
    fn an_image_that_lost_its_end_is_not_whole() {
        let image = image(&[("a", b"1234")]);
        assert!(is_whole(&file(&image)));
        for length in [image.len() - 1, HEADER, 40, 0] {
            assert!(!is_whole(&file(&image[..length])), "{length}");
        }
        assert!(!is_whole(&file(&[b'x'; 4096])));
    }

    #[test]
    fn a_table_of_nonsense_is_an_error_and_no_panic() {
        let mut image = image(&[("a", b"1234")]);
        image[HEADER + SIZE..HEADER + SIZE + 8].fill(0xff);
        assert!(object(&file(&image), "a").is_err());
        image[DESCRIPTORS_OFFSET..DATA_SIZE + 8].fill(0xff);
        assert!(object(&file(&image), "a").is_err());
        assert!(!is_whole(&file(&image)));
    }
}
