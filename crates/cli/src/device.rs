//! The choice of the device to train on.

use burn::tensor::Device;
use burn_cubecl::cubecl::wgpu::{
    AutoGraphicsApi, RuntimeOptions, WgpuDevice, WgpuDeviceKind, WgpuInitError, try_init_setup,
};
use miette::{Result, miette};

/// A device on the command line.
#[derive(clap::Args)]
pub struct DeviceArguments {
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

impl DeviceArguments {
    /// Chooses the device of `--device`, by the names that [`choose`] takes.
    ///
    /// # Errors
    ///
    /// If there is no such device.
    pub fn choose(&self) -> Result<Device> {
        choose(&self.device)
    }
}

/// Sets `XDG_RUNTIME_DIR` to this user's session folder where the environment does not have it, as in a container or under cron. Mesa looks there for
/// the desktop's GPU, and prints an error at each look where the variable is missing.
///
/// # Safety
///
/// The environment is changed: no other thread may run yet.
#[cfg(target_os = "linux")]
pub unsafe fn set_runtime_dir() {
    use std::os::unix::fs::MetadataExt as _;
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    if std::env::var_os(VARIABLE).is_none()
        && let Ok(process) = std::fs::metadata("/proc/self")
    {
        // SAFETY: as the caller promises.
        unsafe { std::env::set_var(VARIABLE, format!("/run/user/{}", process.uid())) };
    }
}

/// An adapter of wgpu's, and burn's name for it.
struct Adapter {
    adapter: wgpu::Adapter,
    kind: WgpuDeviceKind,
}

/// Returns the adapters that can be trained on, in wgpu's order: those of the one graphics API that burn settles on.
fn adapters() -> Vec<Adapter> {
    let adapters =
        settle(AutoGraphicsApi::chain().into_iter().map(adapters_of), |adapter| !is_software(adapter));
    let kinds = kinds(adapters.iter().map(|adapter| adapter.get_info().device_type));
    let named = adapters.into_iter().zip(kinds);
    named.filter_map(|(adapter, kind)| Some(Adapter { adapter, kind: kind? })).collect()
}

/// Returns the adapters of one graphics API.
fn adapters_of(api: wgpu::Backend) -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: api.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    pollster::block_on(instance.enumerate_adapters(api.into()))
}

fn is_software(adapter: &wgpu::Adapter) -> bool {
    adapter.get_info().device_type == wgpu::DeviceType::Cpu
}

/// Returns the list that burn settles on: the first that has a GPU, else the first that is not empty.
fn settle<T>(lists: impl Iterator<Item = Vec<T>>, is_gpu: impl Fn(&T) -> bool) -> Vec<T> {
    let mut software = Vec::new();
    for list in lists {
        if list.iter().any(&is_gpu) {
            return list;
        }
        if software.is_empty() {
            software = list;
        }
    }
    software
}

/// Returns burn's name for each adapter: its type and its number among that type. burn has no name for a second software driver.
fn kinds(types: impl Iterator<Item = wgpu::DeviceType>) -> Vec<Option<WgpuDeviceKind>> {
    let mut seen = Vec::new();
    let mut kind = |device_type| {
        let number = seen.iter().filter(|seen| **seen == device_type).count();
        seen.push(device_type);
        match device_type {
            wgpu::DeviceType::DiscreteGpu => Some(WgpuDeviceKind::DiscreteGpu(number)),
            wgpu::DeviceType::IntegratedGpu => Some(WgpuDeviceKind::IntegratedGpu(number)),
            wgpu::DeviceType::VirtualGpu => Some(WgpuDeviceKind::VirtualGpu(number)),
            wgpu::DeviceType::Other => Some(WgpuDeviceKind::Other(number)),
            wgpu::DeviceType::Cpu => (number == 0).then_some(WgpuDeviceKind::Cpu),
        }
    };
    types.map(&mut kind).collect()
}

/// Opens a CUDA device by its name: `cuda`, or `cuda:N`. Returns `None` for other names.
#[cfg(feature = "cuda")]
fn cuda(name: &str) -> Option<Result<Device>> {
    let number = match name.strip_prefix("cuda")?.strip_prefix(':') {
        None if name == "cuda" => Some(0),
        None => return None,
        Some(number) => number.parse::<usize>().ok(),
    };
    Some(number.map(Device::cuda).ok_or_else(|| miette!("unknown device {name:?}; write cuda or cuda:N")))
}

/// Returns an error for the names of CUDA devices: this program is built without CUDA.
#[cfg(not(feature = "cuda"))]
fn cuda(name: &str) -> Option<Result<Device>> {
    let way = "build it with `cargo build --release --features cuda`, or take wgpu, which runs on NVIDIA's Vulkan driver";
    name.starts_with("cuda").then(|| Err(miette!("this program is built without CUDA: {way}")))
}

/// Opens a device by its name: `auto` (a GPU, else the CPU), `cpu`, `wgpu`, `wgpu:N` by the number that `lorelei devices` shows, or `cuda`.
///
/// # Errors
///
/// If there is no such device, or it cannot be opened.
fn choose(name: &str) -> Result<Device> {
    if let Some(device) = cuda(name) {
        return device;
    }
    if name == "cpu" {
        return Ok(Device::flex());
    }
    let adapters = adapters();
    let only_software = adapters.iter().all(|found| is_software(&found.adapter));
    let (kind, is_software) = match name {
        "auto" if only_software => return Ok(Device::flex()),
        "wgpu" if adapters.is_empty() => {
            return Err(miette!(
                "wgpu finds no adapter: install a Vulkan driver, or train with --device cpu"
            ));
        }
        // burn prefers a GPU to a software driver.
        "auto" | "wgpu" => (WgpuDeviceKind::DefaultDevice, only_software),
        _ => {
            let number = name.strip_prefix("wgpu:").and_then(|number| number.parse::<usize>().ok());
            let found = number.and_then(|number| adapters.get(number));
            let found = found.ok_or_else(|| unknown(name, adapters.len()))?;
            (found.kind.clone(), is_software(&found.adapter))
        }
    };
    let device = open(kind).map_err(|error| miette!("--device {name} cannot be opened: {error}"))?;
    if let Some(warning) = pollster::block_on(lorelei_kernels::gpu::set_up(&device, is_software)) {
        say_err!("warning: {warning}");
    }
    Ok(device)
}

/// Opens a device of wgpu's and prepares it for computing.
fn open(kind: WgpuDeviceKind) -> Result<Device, WgpuInitError> {
    let device = WgpuDevice::new(kind);
    try_init_setup::<AutoGraphicsApi>(&device, RuntimeOptions::try_default()?)?;
    Ok(Device::new(device))
}

/// Returns the error for a name that no device has, where wgpu has `adapters` adapters.
fn unknown(name: &str, adapters: usize) -> miette::Report {
    let mut known = vec!["auto".to_owned(), "cpu".to_owned()];
    if adapters > 0 {
        known.push("wgpu".into());
    }
    known.extend((0..adapters).map(|number| format!("wgpu:{number}")));
    if cfg!(feature = "cuda") {
        known.extend(["cuda".into(), "cuda:N".into()]);
    }
    miette!("there is no device {name:?}; there are {} (see `lorelei devices`)", known.join(", "))
}

/// Prints every device with its limits.
pub fn list() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    say!("cpu      burn-flex, {threads} threads");
    for (number, Adapter { adapter, .. }) in adapters().iter().enumerate() {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let f16 = adapter.features().contains(wgpu::Features::SHADER_F16);
        say!(
            "wgpu:{number:<3} {} ({:?}, {:?}); buffers to {} MiB, bindings to {} MiB, f16 {}",
            info.name,
            info.backend,
            info.device_type,
            limits.max_buffer_size >> 20,
            limits.max_storage_buffer_binding_size >> 20,
            if f16 { "yes" } else { "no" },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_list_with_a_gpu_is_settled_on() {
        let settled = |lists: &[&[&'static str]]| {
            settle(lists.iter().map(|list| list.to_vec()), |adapter| !adapter.starts_with("software"))
        };
        // A GPU that Vulkan lists is not listed again by OpenGL.
        assert_eq!(settled(&[&["gpu", "software"], &["gpu by OpenGL"]]), ["gpu", "software"]);
        assert_eq!(settled(&[&["software"], &[], &["gpu by OpenGL"]]), ["gpu by OpenGL"]);
        assert_eq!(settled(&[&[], &["software 1"], &["software 2"]]), ["software 1"]);
        assert!(settled(&[&[], &[]]).is_empty());
    }

    #[test]
    fn adapters_are_counted_by_their_type() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other};
        let found = kinds([DiscreteGpu, Cpu, DiscreteGpu, IntegratedGpu, Other, Cpu].into_iter());
        let named = [
            Some(WgpuDeviceKind::DiscreteGpu(0)),
            Some(WgpuDeviceKind::Cpu),
            Some(WgpuDeviceKind::DiscreteGpu(1)),
            Some(WgpuDeviceKind::IntegratedGpu(0)),
            Some(WgpuDeviceKind::Other(0)),
            None,
        ];
        assert_eq!(found, named);
    }
}
