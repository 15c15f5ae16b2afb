/// The parameter work of a training step of ReActNet-18, without convolutions: kernels against torch's operators, in alternation.
module NormFree.Microbenchmarks.ParameterWork

#nowarn "9" // Kernels work on addresses.

open System
open FSharp.NativeInterop
open NormFree.Benchmarks
open NormFree.Kernels.Filters
open NormFree.Kernels.Memory
open NormFree.Kernels.Threads
open NormFree.Spec
open NormFree.Torch.Layers
open NormFree.Torch.Native
open NormFree.Torch.Training
open NormFree.Torch.Training.Optimisers
open TorchSharp

let private workers: IWorkers = TorchWorkers.Instance

let private network =
    ReActNet.reactNet18 Size.Full CifarStem
    |> Net.withClasses 10
    |> Net.withNorm (BnFree 0.2)
    |> Net.withBinarise ActivationsAndWeights
    |> Lowering.lower

/// A convolution's weight, gain and gradients, in native buffers and as tensors with the same values.
type private Convolution =
    { Bank: FilterBank
      Weight: NativeBuffer<float32>
      Gain: NativeBuffer<float32>
      Statistics: NativeBuffer<FilterStatistics>
      Scale: NativeBuffer<float32>
      Signs: NativeBuffer<uint64>
      ByChannel: NativeBuffer<uint32>
      Used: NativeBuffer<float32>
      Gradient: NativeBuffer<float32>
      GainGradient: NativeBuffer<float32>
      WeightTensor: torch.Tensor
      GainTensor: torch.Tensor
      UsedTensor: torch.Tensor }

let private filled (tensor: torch.Tensor) =
    let values = tensor.data<float32>().ToArray()
    let buffer = new NativeBuffer<float32>(values.LongLength)
    values.AsSpan().CopyTo(Span(NativePtr.toVoidPtr buffer.Pointer, values.Length))
    buffer

let private convolution (spec: ConvolutionSpec) =
    let bank = FilterBank(spec.Out, spec.In, spec.Kernel * spec.Kernel, true, float32 spec.Factor)
    let weight = torch.randn [| int64 spec.Out; int64 spec.In; int64 spec.Kernel; int64 spec.Kernel |]
    let gain = torch.ones [| int64 spec.Out; 1L; 1L; 1L |]
    let used = torch.randn weight.shape

    { Bank = bank
      Weight = filled weight
      Gain = filled gain
      Statistics = new NativeBuffer<FilterStatistics>(int64 spec.Out)
      Scale = new NativeBuffer<float32>(int64 spec.Out)
      Signs = new NativeBuffer<uint64>(bank.SignWords)
      ByChannel = new NativeBuffer<uint32>(bank.SignsByChannel)
      Used = filled used
      Gradient = new NativeBuffer<float32>(weight.numel ())
      GainGradient = new NativeBuffer<float32>(int64 spec.Out)
      WeightTensor = weight.requires_grad_ true
      GainTensor = gain.requires_grad_ true
      UsedTensor = used }

let private forward c =
    FilterKernels.Best.BinaryForward(
        c.Bank,
        c.Weight.Pointer,
        c.Gain.Pointer,
        c.Statistics.Pointer,
        c.Scale.Pointer,
        c.Signs.Pointer,
        workers
    )

    SignTranspose.ByChannel(c.Bank, c.Signs.Pointer, c.ByChannel.Pointer, workers)

let private backward c =
    FilterKernels.Best.BinaryBackward(
        c.Bank,
        c.Weight.Pointer,
        c.Gain.Pointer,
        c.Statistics.Pointer,
        c.Used.Pointer,
        FilterLayout.ChannelsLast,
        c.Gradient.Pointer,
        c.GainGradient.Pointer,
        workers
    )

let private used (weight: torch.Tensor) (gain: torch.Tensor) =
    let options = ConvolutionOptions(1, 1, true, true)
    Convolution.EffectiveWeight(weight, gain, &options)

let private compositeForward c =
    use _ = torch.NewDisposeScope()
    used (c.WeightTensor.detach ()) (c.GainTensor.detach ()) |> ignore

let private compositeBoth c =
    use _ = torch.NewDisposeScope()
    (used c.WeightTensor c.GainTensor).backward [| c.UsedTensor |]
    c.WeightTensor.grad <- null
    c.GainTensor.grad <- null

/// Copies memory in blocks of 1 MiB on all threads: the upper limit for a pass that reads and writes.
let private copy (bytes: int64) =
    let source = (new NativeBuffer<byte>(bytes)).Cleared()
    let target = (new NativeBuffer<byte>(bytes)).Cleared()
    let block = 1L <<< 20

    let copyBlock (i: int) =
        let start = int64 i * block
        let size = min block (bytes - start)
        let at (buffer: NativeBuffer<byte>) = NativePtr.toNativeInt buffer.Pointer + nativeint start
        let pointer (address: nativeint) = NativePtr.ofNativeInt<byte> address |> NativePtr.toVoidPtr
        Buffer.MemoryCopy(pointer (at source), pointer (at target), size, size)

    fun () -> workers.Run(int ((bytes + block - 1L) / block), copyBlock)

let private effort: Effort = { WarmUp = 2; Rounds = 7; Seconds = 4.0 }

/// Times candidates, each with the bytes per parameter of a single pass, and a copy of the parameters.
let private compare title (count: int64) (candidates: (float * Candidate) list) =
    printfn $"### {title}\n"
    let copied = 4L * count

    let candidates = (8.0, { Name = "copy of the parameters"; Run = copy copied }) :: candidates

    let bytes = dict [ for perValue, candidate in candidates -> candidate.Name, perValue * float count ]

    candidates
    |> List.map snd
    |> Alternation.run effort
    |> Show.timings "bytes of one pass, speed" (fun t ->
        $"{bytes[t.Name] / 1e6:f0} MB, {bytes[t.Name] / t.Median / 1e9:f1} GB/s")

let private filters () =
    use _ = torch.NewDisposeScope()

    let convolutions =
        [ for op in Graph.operations network do
              match op with
              | Op.Convolve spec when spec.Weight = OneBit -> convolution spec
              | _ -> () ]

    let count = convolutions |> List.sumBy (fun c -> int64 c.Bank.Out * int64 c.Bank.Size)
    let all work () = List.iter work convolutions
    let candidate name work : Candidate = { Name = name; Run = all work }
    // One bit per weight: written by the filter kernel, read and written by the transposition.
    let bits = 3.0 / 8.0

    compare
        "Filters: standardise and binarise"
        count
        [ 4.0 + bits, candidate "kernels, forward" forward
          4.0 + bits, candidate "composite, forward" compositeForward
          12.0, candidate "kernels, backward" backward
          16.0 + bits,
          candidate "kernels, both" (fun c ->
              forward c
              backward c)
          16.0 + bits, candidate "composite, both" compositeBoth ]

let private step () =
    use _ = torch.NewDisposeScope()

    let parameters scale =
        [| for described in Parameters.ofGraph network do
               let shape = [| for side in described.Shape -> int64 side |]
               let tensor = new Modules.Parameter(torch.randn shape, true)
               tensor.grad <- torch.randn(shape).mul_(torch.tensor (scale: float32))
               described, tensor |]

    let count = Parameters.ofGraph network |> List.sumBy _.Count

    let clipped parameters =
        [| for described: ParameterSpec, tensor: Modules.Parameter in parameters do
               if not (described.Key.StartsWith "fc") then
                   tensor :> torch.Tensor |]

    // The first call clips every unit. After that, norms are at the limit, and rounding decides.
    let fused, composite = clipped (parameters 1f), clipped (parameters 1f)

    compare
        "Clipping"
        count
        [ 12.0, { Name = "kernels"; Run = fun () -> AdaptiveGradientClipping.Clip(fused, 0.02) |> ignore }
          12.0,
          { Name = "composite"
            Run =
              fun () ->
                  for tensor in composite do
                      AdaptiveGradientClipping.Clip(tensor, 0.02) |> ignore } ]

    compare
        "Gradient norms: the cost of checking for NaN"
        count
        [ 4.0, { Name = "kernels"; Run = fun () -> GradientNorms.Of fused |> ignore } ]

    let optimised () =
        [| for described, tensor in parameters 1e-3f -> OptimisedParameter(described.Key, tensor, 1e-5) |]

    let candidate name (optimiser: ParameterOptimiser) : Candidate =
        { Name = name; Run = fun () -> optimiser.Step 1e-4 }

    use adam = new Adam(optimised (), false)
    use compositeAdam = new Adam(optimised (), false, Composite = true)
    compare "Adam" count [ 28.0, candidate "kernels" adam; 28.0, candidate "composite" compositeAdam ]
    use sgd = new Sgd(optimised (), 0.9)
    use compositeSgd = new Sgd(optimised (), 0.9, Composite = true)

    compare "SGD with momentum" count [ 20.0, candidate "kernels" sgd; 20.0, candidate "composite" compositeSgd ]

let run () =
    printfn "## Parameter work of a training step: ReActNet-18\n"
    filters ()
    step ()
