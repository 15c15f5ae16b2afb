namespace NormFree.Cli

open System
open System.IO
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Zoo

/// <summary>A run as a model card describes it, with the runs that it started from.</summary>
type internal ZooRun =
    {
        Folder: RunFolder
        Description: RunDescription
        Configuration: RunConfiguration
        Log: RunLog
        /// The run whose checkpoint this one started from, if its folder still exists.
        Before: ZooRun option
    }

[<RequireQualifiedAccess>]
module internal ZooRun =

    /// <summary>Where a file of the run's configuration is now.</summary>
    let locate (run: ZooRun) path = RunPlaces.locate run.Folder.Path run.Description.Places path

    /// <summary>Whether an experiment script made the run, so that no command line of the tool describes it.</summary>
    let isOfScript (run: ZooRun) = run.Description.Arguments.IsEmpty

    /// <summary>Reads a run, finished or not.</summary>
    let rec read (folder: RunFolder) : ZooRun =
        let description = RunFolder.readDescription folder

        let configuration =
            description.Configuration
            |> Option.defaultWith (fun () ->
                Parser.parse CommandTable.Networks.train description.Arguments |> TrainSettings.resolve)

        let before =
            configuration.Init
            |> Option.filter (ZooFile.isZoo >> not)
            |> Option.map (RunPlaces.locate folder.Path description.Places)
            |> Option.bind (Path.GetDirectoryName >> Option.ofObj)
            |> Option.map (fun path -> { RunFolder.Path = path })
            |> Option.filter RunFolder.holdsRun
            |> Option.map read

        { Folder = folder
          Description = description
          Configuration = configuration
          Log = RunFolder.readRun folder
          Before = before }

    /// <summary>The run and those before it, oldest first.</summary>
    let rec chain (run: ZooRun) : ZooRun list = (run.Before |> Option.map chain |> Option.defaultValue []) @ [ run ]

    /// Paths of the machine that trained are of no use to others: a file keeps its name, a checkpoint also that of its run.
    let private shortened (previous: string) (word: string) =
        match previous with
        | "--init" when not (ZooFile.isZoo word) ->
            let run = Path.GetFileName(Path.GetDirectoryName word) |> string
            if run = "" then word else $"{run}/{Path.GetFileName word}"
        | _ when word.Contains '/' -> Path.GetFileName(word.TrimEnd '/') |> string
        | _ -> word

    let private command (run: ZooRun) =
        let words = run.Description.Arguments
        let previous = "train" :: words |> List.truncate words.Length
        "normfree train " + String.Join(' ', List.map2 shortened previous words)

    let private stages (run: ZooRun) =
        [ for stage, epochs, _ in run.Log.Stages do
              let last = List.last epochs

              CardStage(
                  stage,
                  epochs.Length,
                  last.Epochs,
                  Math.Round(epochs |> List.sumBy _.Seconds, 1),
                  last.Train.Top1,
                  last.Test.Top1
              ) ]

    /// <summary>The checkpoint of the run's network: that of the last epoch, or the best one of a run that has not finished.</summary>
    let checkpoint (run: ZooRun) =
        let path = if run.Log.Finished then run.Folder.Last 2 else run.Folder.Best 2

        if File.Exists path then
            path
        else
            raise (
                TrainingException
                    $"{run.Folder.Path} has no {Path.GetFileName path}: stage 2 has not finished an epoch. Resume the run."
            )

    let private selection (run: ZooRun) (state: TrainingState) =
        let last = List.last state.History

        if run.Log.Finished then
            "It is the network after the last epoch: no epoch was chosen by its test accuracy."
        else
            $"The run has not finished: it is the network of epoch {last.Epoch} of {last.Epochs} of the last stage, the best one on the test images."

    let private last (run: ZooRun) = List.last run.Log.Epochs

    /// What the last epoch shows about a longer training. The gap between augmented training images and test images tells whether the network overfits.
    let private outlook (runs: ZooRun list) =
        let final = last (List.last runs)
        let gap = 100.0 * (final.Train.Top1 - final.Test.Top1)
        let epochs = runs |> List.collect stages |> List.sumBy _.Epochs
        let published = 2 * Recipe.published.Epochs

        let tendency =
            if gap < 3.0 then
                "The network still underfits: more epochs will raise both accuracies."
            elif gap < 10.0 then
                "More epochs will raise the test accuracy, but by less than the training accuracy."
            else
                "The network overfits: more epochs alone will give little; more images or stronger augmentation will."

        $"the last epoch's accuracy is {100.0 * final.Train.Top1:F1} %% on augmented training images and {100.0 * final.Test.Top1:F1} %% on the \
          run's test images. {tendency} This network was trained for {epochs} epochs of {final.Train.Images:N0} images; the published recipe has \
          {published} epochs. How much a longer training gains was not measured."

    let private software (run: ZooRun) =
        match run.Configuration.Environment with
        | Some environment -> environment.NormFree
        | None ->
            run.Log.Configuration
            |> List.tryFind (fst >> (=) "environment.NormFree")
            |> Option.map snd
            |> Option.defaultValue "of unknown version"

    /// <summary>The training of a run's network, whose checkpoint has this state. <c>script</c> is the command line of the script that made the run, if one
    /// did.</summary>
    let training (script: string option) (run: ZooRun) (state: TrainingState) : CardTraining =
        let runs = chain run

        let commands =
            match script with
            | Some line -> [ line ]
            | None -> List.map command runs

        CardTraining(
            List.toArray commands,
            state.Recipe.Seed,
            [| yield! List.collect stages runs |],
            selection run state,
            software run,
            state.Machine |> Option.defaultValue "an unknown processor",
            outlook runs
        )

    /// <summary>The number of images that the network was trained on.</summary>
    let trainingImages (run: ZooRun) =
        let last = last run
        last.Train.Images + last.Unreadable

    /// <summary>The network in words.</summary>
    let describe (run: ZooRun) (net: NetSpec) =
        let network = run.Configuration.Network

        [ net.Name
          match network.Width, run.Configuration.Facts with
          | Some width, _ when width <> 1.0 -> $"{width} of its channels"
          | None, Some facts -> $"stem {facts.Stem}"
          | _ -> ()
          match network.Norm with
          | Some norm -> $"norm {Names.norm norm}"
          | None -> ()
          match network.Shortcut with
          | Some weights -> $"{Names.weights weights} shortcuts"
          | None -> () ]
        |> String.concat ", "
