//! A model in several safetensors files, with `model.safetensors.index.json` as their index.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, Visitor};

use crate::error::Shortened;
use crate::{FormatError, Place, ReadAt, SafetensorsFile, TensorInfo, TensorSource};

/// Several safetensors files that make one model.
#[derive(Debug)]
pub struct ShardedSafetensors<R> {
    shards: Vec<SafetensorsFile<R>>,
    infos: Vec<TensorInfo>,
    /// Map from name to (index in `infos`, index in `shards`).
    by_name: HashMap<String, (usize, usize)>,
    index_file: String,
}

impl<R: ReadAt> ShardedSafetensors<R> {
    /// Opens every shard that the index names, by its plain file name, and checks that it contains the tensors listed in the index.
    ///
    /// `index_json` is the text of `model.safetensors.index.json`, and errors use `index_file` as its name. Tensors in a shard that the index does
    /// not mention are left out.
    ///
    /// # Errors
    /// When the index is not valid, a shard's name could lead out of the folder, or a shard is missing or broken, or lacks a tensor.
    pub fn open(
        index_json: &str,
        index_file: impl Into<String>,
        mut open_shard: impl FnMut(&str) -> io::Result<R>,
    ) -> Result<Self, FormatError> {
        let index_file = index_file.into();
        let wanted = shards_of(index_json, &index_file)?;
        let mut sharded = Self { shards: Vec::new(), infos: Vec::new(), by_name: HashMap::new(), index_file };
        for (shard, tensors) in wanted {
            let reader = open_shard(&shard).map_err(|source| {
                let mut error = FormatError::io(&shard, Place::File, source);
                error.help = format!("{} names this shard: put it beside it", sharded.index_file).into();
                error
            })?;
            sharded.add(SafetensorsFile::open(reader, shard.as_str())?, &tensors)?;
        }
        Ok(sharded)
    }

    fn add(&mut self, shard: SafetensorsFile<R>, tensors: &[String]) -> Result<(), FormatError> {
        for tensor in tensors {
            let Some(info) = shard.info(tensor) else {
                return Err(FormatError::missing(
                    shard.file_name(),
                    Place::Tensor(tensor.clone()),
                    format!("{} says that it is in this file, but it is not", self.index_file),
                    "fetch the index and the shards from the same revision",
                ));
            };
            self.by_name.insert(tensor.clone(), (self.infos.len(), self.shards.len()));
            self.infos.push(info.clone());
        }
        self.shards.push(shard);
        Ok(())
    }

    /// Returns the shards, in the order of their names.
    pub fn shards(&self) -> &[SafetensorsFile<R>] {
        &self.shards
    }

    fn shard_of(&self, name: &str) -> Result<&SafetensorsFile<R>, FormatError> {
        self.by_name
            .get(name)
            .map(|&(_, shard)| &self.shards[shard])
            .ok_or_else(|| FormatError::no_such_tensor(&self.index_file, name))
    }
}

impl<R: ReadAt> TensorSource for ShardedSafetensors<R> {
    fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        Some(&self.infos[self.by_name.get(name)?.0])
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        self.shard_of(name)?.read_f32(name)
    }

    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
        self.shard_of(name)?.read_i64(name)
    }

    fn read_sample(&self, name: &str) -> Result<Vec<u8>, FormatError> {
        self.shard_of(name)?.read_sample(name)
    }
}

/// Returns the names of the shards in the text of a `model.safetensors.index.json`. Errors use `index_file` as its name.
///
/// # Errors
/// When the index is not valid, or a shard's name could lead out of the folder.
pub fn shard_names(index_json: &str, index_file: &str) -> Result<Vec<String>, FormatError> {
    Ok(shards_of(index_json, index_file)?.into_keys().collect())
}

/// Returns each shard's name with the tensors that it contains.
fn shards_of(index_json: &str, index_file: &str) -> Result<BTreeMap<String, Vec<String>>, FormatError> {
    let index: Index = serde_json::from_str(index_json).map_err(|error| {
        let problem = format!("not a safetensors index: {error}");
        FormatError::corrupt(index_file, Place::File, problem)
    })?;
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, shard) in index.weight_map.0 {
        wanted.entry(shard).or_default().push(tensor);
    }
    let corrupt =
        |problem: String| FormatError::corrupt(index_file, Place::Key("weight_map".to_owned()), problem);
    if wanted.is_empty() {
        return Err(corrupt("it is empty".to_owned()));
    }
    match wanted.keys().find(|name| !is_plain_file_name(name)) {
        Some(bad) => {
            Err(corrupt(format!("{:?} is not the plain name of a .safetensors file", Shortened(bad))))
        }
        None => Ok(wanted),
    }
}

/// Whether the name has no separators, no drive letters and no `..`, so that joining it to a folder cannot leave the folder.
fn is_plain_file_name(name: &str) -> bool {
    name.len() > ".safetensors".len()
        && name.ends_with(".safetensors")
        && !name.starts_with('.')
        && !name.contains(['/', '\\', ':'])
        && !name.chars().any(char::is_control)
}

#[derive(Deserialize)]
struct Index {
    weight_map: WeightMap,
}

/// Map from tensor name to shard name, in the file's order, without duplicates.
struct WeightMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;

        impl<'de> Visitor<'de> for MapVisitor {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from tensor names to file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((tensor, shard)) = map.next_entry::<String, String>()? {
                    if !seen.insert(tensor.clone()) {
                        let name = Shortened(&tensor);
                        return Err(A::Error::custom(format_args!("tensor {name:?} is there twice")));
                    }
                    entries.push((tensor, shard));
                }
                Ok(WeightMap(entries))
            }
        }

        deserializer.deserialize_map(MapVisitor)
    }
}
