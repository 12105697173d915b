//! Does one thing so many times, for `cargo xtask counts` to count instructions: `proto-probe WHAT TIMES`.

use std::hint::black_box;
use std::process::ExitCode;

use proto::message::TenantRequest;
use proto::message::tenant::{AllocBuffer, BufferKind, FindSymbol};
use proto::text::Text;
use proto::wire::Message as _;
use proto::{Bytes, CodeId, DeviceAddress, Nanos, RequestId, histogram};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (what, times) = match &arguments[..] {
        [what, times] => (what.as_str(), times.parse::<u64>()),
        _ => ("", Ok(0)),
    };
    let alloc = AllocBuffer { kind: BufferKind::Vram, bytes: Bytes(4096), at: DeviceAddress(1 << 40) };
    let message: TenantRequest = match what {
        "codec-small" => alloc.into(),
        "codec-large" => FindSymbol { code: CodeId(3), name: Text::truncated(&"_ZN4name".repeat(100)) }.into(),
        "histogram-bucket" => {
            for n in 0..times.unwrap_or(0) {
                black_box(histogram::bucket_of(Nanos(black_box(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30))));
            }
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("proto-probe codec-small|codec-large|histogram-bucket TIMES");
            return ExitCode::FAILURE;
        }
    };
    let fds = message.facts().fds;
    for n in 0..times.unwrap_or(0) {
        let packet = black_box(&message).encode(RequestId(n as u32));
        black_box(TenantRequest::decode(black_box(packet.as_bytes()), fds)).expect("what was encoded is a message");
    }
    ExitCode::SUCCESS
}
