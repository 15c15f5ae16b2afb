/// Packing of signs on one thread, instruction set by instruction set.
module NormFree.Benchmarks.Packing

open NormFree.Benchmarks.Alternate
open NormFree.Kernels.Bits
open NormFree.Kernels.Memory
open NormFree.Kernels.Simd

let private effort = { WarmUp = 50; Rounds = 20; Seconds = 0.5 }

let run () =
    printfn "## Packing, one thread, GB/s of floats read\n"

    let rows =
        [ for channels, pixels in [ 64, 1024; 64, 65536; 256, 256; 100, 1024 ] do
              use source = (new NativeBuffer<float32>(int64 (channels * pixels))).Cleared()
              use shift = (new NativeBuffer<float32>(int64 channels)).Cleared()
              use target = new NativeBuffer<uint64>(int64 (SignPacking.Words channels * pixels))
              let repetitions = max 1 (1_000_000 / (channels * pixels))

              let version set : Version =
                  let packing = SignPacking.For set

                  { Name = $"{set}"
                    Run =
                      fun () ->
                          for _ in 1..repetitions do
                              packing.Pack(source.Pointer, int64 pixels, channels, 0.98f, shift.Pointer, target.Pointer) }

              let speed seconds = float (4 * channels * pixels * repetitions) / seconds / 1e9
              let timings = InstructionSets.Supported |> Seq.map version |> List.ofSeq |> run effort
              $"{pixels} pixels of {channels} channels" :: [ for t in timings -> $"{speed t.Median:f1}" ] ]

    table ("map" :: [ for set in InstructionSets.Supported -> $"{set}" ]) rows
