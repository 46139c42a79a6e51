//! Which device to train on.

use burn::tensor::{Device, DeviceKind};
use miette::{Result, miette};

/// A device on the command line.
#[derive(clap::Args)]
pub struct DeviceArguments {
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

impl DeviceArguments {
    /// As [`choose`].
    ///
    /// # Errors
    ///
    /// If there is no such device.
    pub fn choose(&self) -> Result<Device> {
        choose(&self.device)
    }
}

/// The adapters that wgpu finds, in its order.
fn adapters() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::default();
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()))
}

/// A CUDA device by its name: `cuda`, or `cuda:N`. None for other names.
#[cfg(feature = "cuda")]
fn cuda(name: &str) -> Option<Result<Device>> {
    let number = match name.strip_prefix("cuda")?.strip_prefix(':') {
        None if name == "cuda" => Some(0),
        None => return None,
        Some(number) => number.parse::<usize>().ok(),
    };
    Some(number.map(Device::cuda).ok_or_else(|| miette!("unknown device {name:?}; write cuda or cuda:N")))
}

/// This program is built without CUDA.
#[cfg(not(feature = "cuda"))]
fn cuda(name: &str) -> Option<Result<Device>> {
    let way = "build it with `cargo build --release --features cuda`, or take wgpu, which runs on NVIDIA's Vulkan driver";
    name.starts_with("cuda").then(|| Err(miette!("this program is built without CUDA: {way}")))
}

/// `auto` (a GPU, else the CPU), `cpu`, `wgpu`, `wgpu:N` by the number that `lorelei devices` shows, or `cuda`.
///
/// # Errors
///
/// If there is no such device.
fn choose(name: &str) -> Result<Device> {
    if let Some(device) = cuda(name) {
        return device;
    }
    if name == "cpu" {
        return Ok(Device::flex());
    }
    let is_software = |adapter: &wgpu::Adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu;
    let adapters = adapters();
    let only_software = adapters.iter().all(is_software);
    let (device, is_software) = match name {
        "auto" if only_software => return Ok(Device::flex()),
        "wgpu" if adapters.is_empty() => return Err(none()),
        // burn takes a GPU before a software driver.
        "auto" | "wgpu" => (Device::wgpu(DeviceKind::DefaultDevice), only_software),
        other => {
            let number = other.strip_prefix("wgpu:").and_then(|n| n.parse::<usize>().ok());
            let number = number.ok_or_else(|| {
                miette!("unknown device {other:?}; write auto, cpu, wgpu or wgpu:N (see `lorelei devices`)")
            })?;
            let kinds = kinds(&adapters);
            let kind = kinds.get(number).cloned().ok_or_else(|| {
                miette!("there is no device wgpu:{number}; `lorelei devices` lists {}", kinds.len())
            })?;
            (Device::wgpu(kind), is_software(&adapters[number]))
        }
    };
    if let Some(warning) = pollster::block_on(lorelei_kernels::gpu::set_up(&device, is_software)) {
        eprintln!("warning: {warning}");
    }
    Ok(device)
}

fn none() -> miette::Report {
    miette!("wgpu finds no adapter: install a Vulkan driver, or train with --device cpu")
}

/// The name that burn has for each adapter: its kind and its number among that kind.
fn kinds(adapters: &[wgpu::Adapter]) -> Vec<DeviceKind> {
    let (mut discrete, mut integrated, mut other) = (0, 0, 0);
    let next = |counter: &mut usize| {
        *counter += 1;
        *counter - 1
    };
    let kind = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(next(&mut discrete)),
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(next(&mut integrated)),
        wgpu::DeviceType::Cpu => DeviceKind::Cpu,
        _ => DeviceKind::VirtualGpu(next(&mut other)),
    };
    adapters.iter().map(kind).collect()
}

/// Prints every device with its limits.
pub fn list() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    say!("cpu      burn-flex, {threads} threads");
    for (number, adapter) in adapters().iter().enumerate() {
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
