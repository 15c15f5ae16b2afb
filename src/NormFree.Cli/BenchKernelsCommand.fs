namespace NormFree.Cli

open System
open Argu
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks

/// <summary><c>normfree bench kernels</c>.</summary>
[<RequireQualifiedAccess>]
module BenchKernelsCommand =

    /// Names as keyboards have them, in any case: x for ×, -> for →, ^2 for ².
    let private typed (text: string) = text.ToLowerInvariant().Replace("x", "×").Replace("->", "→").Replace("^2", "²")

    let private layers (args: ParseResults<BenchKernelsArgs>) =
        let words = args.GetResult(BenchKernelsArgs.Only, "")

        let isMeant (layer: KernelLayer) = (typed $"{layer.Network} {layer.Name}").Contains(typed words)

        match List.filter isMeant KernelLayers.all with
        | [] ->
            let known = KernelLayers.all |> List.map _.Name |> List.truncate 3 |> String.concat ", "
            raise (UsageException $"--only: no layer has '{words}' in its name; there are {known} …")
        | found -> found

    let private rooflines (rooflines: KernelRoofline list) =
        Show.table
            [ "instruction set"; "GMAC/s in registers"; "L1, GB/s"; "L2, GB/s"; "memory, GB/s"; "operations" ]
            [ for roofline in rooflines ->
                  [ roofline.InstructionSet
                    $"{roofline.GmacsPerSecond:F0}"
                    $"{roofline.L1GbPerSecond:F0}"
                    $"{roofline.L2GbPerSecond:F0}"
                    $"{roofline.MemoryGbPerSecond:F0}"
                    roofline.Operations ] ]

    let private speeds (results: KernelResult list) =
        Show.table
            [ "layer"; "network"; "instruction set"; "GMAC/s"; "lowest"; "highest"; "roofline"; "share" ]
            [ for layer in results do
                  for speed in layer.Speeds ->
                      [ layer.Layer
                        layer.Network
                        speed.InstructionSet
                        $"{speed.GmacsPerSecond.Median:F0}"
                        $"{speed.GmacsPerSecond.Min:F0}"
                        $"{speed.GmacsPerSecond.Max:F0}"
                        $"{speed.RoofGmacsPerSecond:F0}"
                        Show.percent speed.ShareOfRoofline ] ]

    let private print (results: KernelResults) =
        Console.WriteLine "What a core gives at best, with each instruction set:"
        rooflines results.Rooflines
        Console.WriteLine "Binary convolutions of the packed engine, on one thread:"
        speeds results.Layers
        Show.machine results.Environment

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<BenchKernelsArgs>) =
        let layers = layers args
        let seconds = Choices.seconds "--seconds" (args.GetResult(BenchKernelsArgs.Seconds, 0.2))

        let results =
            Outcome.untilInterrupted "Nothing is kept." (fun cancellation ->
                Show.counting "layer" layers.Length (fun progress ->
                    KernelBench.measure
                        { Layers = layers; Seconds = seconds; Progress = progress; Cancellation = cancellation }))

        if args.Contains BenchKernelsArgs.Json then
            Console.WriteLine(Json.writeSnakeCase results)
        else
            print results
