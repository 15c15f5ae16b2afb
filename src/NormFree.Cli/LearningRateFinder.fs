namespace NormFree.Cli

open System.IO
open NormFree.Reporting
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// <summary><c>normfree train --lr find</c>: a learning-rate range test instead of a training.</summary>
[<RequireQualifiedAccess>]
module internal LearningRateFinder =

    let private chart (test: RateTest) : Chart =
        { Title = "Learning-rate range test"
          XLabel = "log10 of the learning rate"
          X = Numeric
          YLabel = "training loss, smoothed"
          Y = Plain
          Range = None
          Curves = [ Curve.Line("loss", [ for trial in test.Trials -> log10 trial.Rate, trial.Loss ]) ]
          Boundaries =
            [ for rate in Option.toList test.Suggestion -> { At = log10 rate; Label = $"suggestion {rate}" } ]
          Levels = [] }

    /// <summary>Tests the first stage of the configuration, prints a suggestion, and writes a plot into the folder.</summary>
    let run (configuration: RunConfiguration) (net: NetSpec) (folder: RunFolder) (plan: Plan) =
        let binarise, recipe =
            match configuration.Stage1, configuration.Stage2 with
            | Some first, _ -> Activations, first
            | None, Some second -> ActivationsAndWeights, second
            | None, None -> raise (UsageException "the configuration has no stage to train.")

        let init = configuration.Init |> Option.map InitialNetwork.path
        let test = LearningRateTest.run binarise init recipe net plan
        let path = Path.Combine(folder.Path, "lr-find.png")
        Directory.CreateDirectory folder.Path |> ignore
        Chart.writePng path (chart test)

        match test.Suggestion with
        | Some rate ->
            Output.prose
                $"Suggested learning rate: {rate}, a tenth of the rate at which the smoothed loss was lowest in {test.Trials.Length} steps."

            Output.prose $"To train with it, run the same command with --lr {rate} in place of --lr find."
        | None ->
            Output.prose
                $"The loss fell at no learning rate in {test.Trials.Length} steps, so none is suggested: train with a larger --batch, or keep the default."

        Output.line $"Plot: {path}"
