//! Check that every variant is WGSL that naga accepts, and that it uses only what every browser supports.

use lorelei_shaders::Kernel;
use naga::{
    AddressSpace,
    valid::{Capabilities, ValidationFlags, Validator},
};

#[test]
fn every_variant_is_valid_and_portable() {
    for kernel in Kernel::all() {
        let source = kernel.source();
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{kernel:?}: {}\n{source}", error.emit_to_string(&source)));
        // WGSL itself and its one extension for half floats; naga counts unpack2x16float separately.
        let is_half = source.starts_with("enable f16;");
        let half = if is_half { Capabilities::SHADER_FLOAT16 } else { Capabilities::empty() };
        let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32 | half)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{kernel:?}: {}\n{source}", error.emit_to_string(&source)));

        let [entry] = &module.entry_points[..] else { panic!("{kernel:?} has one entry point") };
        assert_eq!(entry.name, "main", "{kernel:?}");
        let [x, y] = kernel.workgroup();
        assert_eq!(entry.workgroup_size, [x, y, 1], "{kernel:?}");
        assert!(x * y <= 256, "{kernel:?}");

        let used = info.get_entry_point(0);
        let mut bindings = Vec::new();
        let (mut storage, mut workgroup) = (0, 0);
        for (handle, variable) in module.global_variables.iter() {
            // A variable that is bound and not used would be missing from the layout.
            assert!(!used[handle].is_empty(), "{kernel:?} does not use {:?}", variable.name);
            let size = module.types[variable.ty].inner.size(module.to_ctx());
            match variable.space {
                AddressSpace::Storage { access } => {
                    // A read-only buffer cannot share a page of memory with one that is written.
                    assert!(access.contains(naga::StorageAccess::STORE), "{kernel:?}: {:?}", variable.name);
                    storage += 1;
                }
                AddressSpace::WorkGroup => workgroup += size,
                AddressSpace::Uniform => {}
                space => panic!("{kernel:?} has a variable in {space:?}"),
            }
            if let Some(binding) = &variable.binding {
                assert_eq!(binding.group, 0, "{kernel:?}");
                bindings.push(binding.binding);
            }
        }
        bindings.sort_unstable();
        assert!(bindings.iter().copied().eq(0..bindings.len() as u32), "{kernel:?} binds {bindings:?}");
        assert!(storage <= 7, "{kernel:?} has {storage} storage buffers");
        assert!(workgroup <= 16 << 10, "{kernel:?} has {workgroup} bytes of workgroup memory");
        assert_eq!(source.matches("enable ").count(), usize::from(is_half), "{kernel:?}");
        for word in ["subgroup", "requires ", "push_constant", "{{", "{%"] {
            assert!(!source.contains(word), "{kernel:?} has {word:?}");
        }
    }
}

#[test]
fn every_file_is_launched() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shaders");
    let known: Vec<&str> = Kernel::all().iter().map(Kernel::file).collect();
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "{name} is in no variant");
    }
}
