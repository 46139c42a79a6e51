//! The devices of a browser: WebGPU where it is complete, else the CPU.

use burn::tensor::Device;
use lorelei_kernels::{KernelPolicy, gpu, set_kernel_policy};
use lorelei_protocol::{AdapterInfo, Capabilities, DeviceChoice, Notice, Reply};
use lorelei_recipe::{Message, message};

use crate::{browser, port, state, store};

/// Devices that have been created, as WebGPU can be set up only once.
#[derive(Default)]
pub struct Devices {
    webgpu: Option<(Device, String)>,
}

/// Returns the WebGPU adapter, or the reason why there is none.
async fn adapter() -> Result<AdapterInfo, Message> {
    let json = browser::probe().await?;
    let value: serde_json::Value = serde_json::from_str(&json).map_err(|error| error.to_string())?;
    match value["problem"].as_str() {
        Some(problem) => Err(words(problem)),
        None => Ok(serde_json::from_value(value).map_err(|error| error.to_string())?),
    }
}

/// Returns the text for a word by which `browser.js` names what WebGPU lacks, or the browser's own text.
fn words(problem: &str) -> Message {
    match problem {
        "missing" => {
            message!("this browser has no WebGPU. A current Chrome, Edge, Firefox or Safari has it")
        }
        "insecure" => message!(
            "this browser has no WebGPU. Pages see it over https or on localhost only. A current Chrome, Edge, Firefox or Safari has it"
        ),
        "no adapter" => message!(
            "WebGPU is there but finds no adapter: is hardware acceleration switched on in the browser's settings?"
        ),
        "no timestamp-query" => {
            message!("the adapter lacks timestamp-query, which the trainer's GPU runtime needs")
        }
        reason => message!("WebGPU gives no adapter: {reason}", reason),
    }
}

/// Sends the page this browser's capabilities and the contents of its storage.
pub async fn capabilities() -> Result<(), Message> {
    let (webgpu, webgpu_problem) = match adapter().await {
        Ok(adapter) => (Some(adapter), None),
        Err(problem) => (None, Some(problem)),
    };
    let (storage_quota, storage_used) = browser::estimate().await.unwrap_or_default();
    port::post(&Reply::Capabilities(Capabilities {
        webgpu,
        webgpu_problem,
        cached: store::models().await.unwrap_or_default(),
        interrupted: store::interrupted().await.unwrap_or_default(),
        storage_quota,
        storage_used,
    }));
    Ok(())
}

/// Returns the device of `choice`, and its name.
pub async fn choose(choice: DeviceChoice) -> Result<(Device, String), Message> {
    let cpu = || (Device::flex(), "CPU".to_owned());
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::WebGpu => webgpu().await,
        // A software adapter is slower than the same machine's CPU.
        DeviceChoice::Auto => match adapter().await {
            Ok(adapter) if !adapter.is_fallback => Ok(webgpu().await.unwrap_or_else(|_| cpu())),
            _ => Ok(cpu()),
        },
    }
}

async fn webgpu() -> Result<(Device, String), Message> {
    if let Some(made) = state::with(|state| state.devices.webgpu.clone()) {
        return Ok(made);
    }
    let adapter = adapter().await?;
    let device = Device::wgpu_options()
        .init_async()
        .await
        .map_err(|error| message!("WebGPU cannot be set up: {reason}", reason = error.to_string()))?;
    if let Some(policy) = browser::parameter("kernels").and_then(|word| KernelPolicy::from_word(&word)) {
        set_kernel_policy(policy);
    }
    if let Some(message) = gpu::set_up(&device, adapter.is_fallback).await {
        port::warn(Notice::new("kernels", message));
    }
    let made = (device, format!("WebGPU: {}", adapter.name));
    state::with(|state| state.devices.webgpu = Some(made.clone()));
    Ok(made)
}
