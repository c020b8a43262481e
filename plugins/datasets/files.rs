//! Files that a user brings: only regular ones are opened, since a pipe would be waited for without end, and no more is read
//! than there may be.

use flate2::read::GzDecoder;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// The bytes of a file that has at most so many.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file but a pipe, a socket or a device"));
    }
    up_to(File::open(path)?, found.len(), most)
}

/// What a gzipped file holds, if that is at most so many bytes.
pub fn unzip(bytes: &[u8], most: u64) -> io::Result<Vec<u8>> {
    up_to(GzDecoder::new(bytes), 0, most)
}

fn up_to(from: impl Read, expected: u64, most: u64) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::other(format!("it holds more than {most} bytes, which is the most that is read"));
    let mut bytes = vec![];
    let room = usize::try_from(expected).ok().filter(|_| expected <= most).ok_or_else(too_long)?;
    bytes.try_reserve_exact(room).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn no_more_is_read_than_there_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap(), [7; 100]);
        assert!(read(&path, 99).unwrap_err().to_string().contains("more than 99 bytes"));
        let mut zipped = GzEncoder::new(vec![], Compression::best());
        zipped.write_all(&[0; 1 << 20]).unwrap();
        let zipped = zipped.finish().unwrap();
        assert!(zipped.len() < 2000, "a bomb");
        assert_eq!(unzip(&zipped, 1 << 20).unwrap().len(), 1 << 20);
        assert!(unzip(&zipped, (1 << 20) - 1).unwrap_err().to_string().contains("more than 1048575 bytes"));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), 1).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&socket, Path::new("/dev/zero")] {
            assert!(read(path, 1).unwrap_err().to_string().contains("not a regular file"), "{path:?}");
        }
    }
}
