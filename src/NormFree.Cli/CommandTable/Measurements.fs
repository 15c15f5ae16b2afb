/// Commands that measure speed, and write pages about runs.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.CommandTable.Measurements

open NormFree.Cli
open NormFree.Cli.CommandTable.Shared

let benchTrain =
    command
        "bench train"
        "Measures the speed and memory of training steps on random images."
        ([ Options.Network.arch.Spec ]
         @ described
         @ [ classes10 ]
         @ [ Options.Measurement.image.Spec
             Options.Recipe.batch
             |> Opt.about "Images per step, over all ranks."
             |> Opt.group "Measurement"
             |> _.Spec
             Options.Recipe.recipe |> Opt.about "Recipe." |> Opt.group "Measurement" |> _.Spec
             Options.Measurement.warmUpSteps.Spec
             Options.Measurement.steps.Spec
             Options.Measurement.profile.Spec
             Options.Measurement.predictNodes.Spec
             Options.Measurement.bandwidth.Spec
             Options.Measurement.latency.Spec
             Options.Execution.engine.Spec
             Options.Execution.precision.Spec
             Options.Execution.threads.Spec
             Options.Execution.instructions.Spec
             Options.Execution.accumulate.Spec
             Options.Execution.rankTimeout.Spec
             Options.Files.json.Spec ])

let benchInfer =
    command
        "bench infer"
        "Measures the latency and memory of inference on random images, also of other runtimes."
        (network Options.Network.binaryArch
         @ [ classes10
             Options.Measurement.image.Spec
             Options.Recipe.batch
             |> Opt.about "Images per run."
             |> Opt.defaultsTo "1"
             |> Opt.group "Measurement"
             |> _.Spec
             Options.Measurement.warmUpSteps |> Opt.about "Runs before the measurement." |> defaultsTo "5"
             Options.Measurement.runs.Spec
             Options.Measurement.seconds.Spec
             Options.Execution.inferenceEngine.Spec
             Options.Execution.threads.Spec
             Options.Execution.instructions.Spec
             Options.Files.json.Spec ])

let benchKernels =
    command
        "bench kernels"
        "Measures binary convolutions against the roofline of this machine."
        [ Options.Measurement.only.Spec
          Options.Measurement.seconds
          |> Opt.about "Least time per layer and instruction set, in seconds."
          |> defaultsTo "0.2"
          Options.Files.json.Spec ]

let report =
    { command
          "report"
          "Writes a page about one or several runs."
          [ Options.Files.file |> about "Page to write: .html, or .md with pictures beside it."
            Options.Files.title.Spec
            Options.Files.noSpeed.Spec ] with
        Operand =
            Some
                { Name = "RUN"
                  About = "Folders of runs; runs that differ only in their seeds form a group."
                  Least = 1
                  Many = true
                  Words = [] }
        Required = [ Options.Files.file.Spec.Name ] }
