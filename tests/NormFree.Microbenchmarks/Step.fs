/// Training steps of ReActNet-18 on 32×32 images, in every norm and stage.
module NormFree.Microbenchmarks.Step

open NormFree.Benchmarks
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec

let private batch, private rounds = 16, 3

let private jobs =
    [ for norm in [ BatchNorm; NoNorm; BnFree 0.2 ] do
          for binarise in [ Activations; ActivationsAndWeights ] do
              let net = ReActNet.cifar18 |> Net.withNorm norm |> Net.withBinarise binarise

              $"{Names.norm norm}, {Names.binarise binarise}",
              { BenchJob.Default net with
                  Recipe = { Recipe.published with Batch = batch }
                  WarmUp = 1
                  Steps = 3 } ]

let run () =
    printfn $"## Training step: ReActNet-18 on 32×32 images, batch {batch}, Adam and clipping\n"

    let results =
        [ for _ in 1..rounds do
              for name, job in jobs -> name, (Bench.train job).ImagesPerSecond.Median ]
        |> List.groupBy fst

    Show.table
        [ "network"; "images/s, median (lowest–highest)" ]
        [ for name, speeds in results -> [ name; (speeds |> List.map snd |> Spread.Of).Text 1 ] ]
