namespace NormFree.Benchmarks

open System
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Training
open TorchSharp

/// <summary>Random networks with plausible parameters, for benchmarks and tests of accuracy.</summary>
[<RequireQualifiedAccess>]
module RandomNetwork =

    let private normal generator (shape: int64[]) (mean: float) (deviation: float) =
        torch.randn(shape, generator = generator).Times(deviation).Plus mean

    /// Feature maps keep about unit variance, and no parameter has its initial value.
    let private parameter generator (described: ParameterSpec) =
        let shape = described.Shape |> List.map int64 |> List.toArray
        let within (inputs: int) = normal generator shape 0.0 (1.0 / sqrt (float inputs))

        match described.Kind with
        | ConvolutionWeight conv -> within (conv.In * conv.Kernel * conv.Kernel)
        | LinearWeight -> within described.Shape[1]
        | LinearBias inputs -> within inputs
        | Gain
        | NormWeight -> normal generator shape 1.0 0.2
        | Slope -> normal generator shape 0.25 0.1
        | SlopeExponent -> normal generator shape -3.0 1.0
        | ShiftBias
        | NormBias -> normal generator shape 0.0 0.1

    /// Running statistics of batch norms, by the suffix of their names.
    let private statistic generator (key: string) (start: torch.Tensor) =
        let ends (suffix: string) = key.EndsWith(suffix, StringComparison.Ordinal)

        if ends "running_mean" then
            normal generator start.shape 0.0 0.1
        elif ends "running_var" then
            torch.rand(start.shape, generator = generator).Plus 0.5
        else
            start

    /// <summary>A float32 network that depends only on the seed. Batch norms have random running statistics.</summary>
    let create (seed: int64) (spec: NetSpec) : Network =
        use _ = torch.NewDisposeScope()
        use generator = new torch.Generator(uint64 seed)
        let network = Network.create torch.ScalarType.Float32 Rule.Corrected seed spec

        let values =
            dict
                [ for described, _ in network.Parameters -> described.Key, parameter generator described
                  for key, start in network.Buffers -> key, statistic generator key start ]

        network |> Network.fill (fun key -> values[key])
        network
