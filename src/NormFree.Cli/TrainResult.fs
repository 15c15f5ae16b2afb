namespace NormFree.Cli

open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// <summary>The results that <c>normfree train</c> prints at its end.</summary>
[<RequireQualifiedAccess>]
module internal TrainResult =

    /// Epoch and top-1 of the network in a stage's best checkpoint. The log's best epoch may be lost.
    let private best (folder: RunFolder) stage =
        let number = if stage = Names.binarise ActivationsAndWeights then 2 else 1

        match BestCheckpoint.tryEpoch folder number with
        | Some record -> [ string record.Epoch; Show.percent record.Test.Top1 ]
        | None -> [ "none"; "" ]

    /// The images on which the best epoch of a stage was chosen.
    let private chosenOn (epochs: EpochRecord list) =
        if (List.last epochs).HeldOut.IsSome then "held-out images" else "test images"

    let print (folder: RunFolder) classes (run: RunLog) =
        let hasTop5 = classes > 5

        Show.table
            [ "stage"
              "epochs"
              "last top-1"
              if hasTop5 then
                  "last top-5"
              "best epoch"
              "its top-1"
              "chosen on" ]
            [ for stage, records, _ in run.Stages do
                  let last = List.last records

                  [ stage
                    string records.Length
                    Show.percent last.Test.Top1
                    if hasTop5 then
                        Show.percent last.Test.Top5
                    yield! best folder stage
                    chosenOn records ] ]

        if run.Epochs |> List.forall _.HeldOut.IsNone then
            Output.prose
                "The best epochs were chosen on the test images, so their accuracy is too high, by tenths of a point or more: --held-out 0.1 chooses \
                 them on other images."

        ConfusionFile.read folder
        |> Option.iter (fun confusion -> ClassTable.print confusion.Classes confusion.Pairs)

        Output.line $"Checkpoints and log: {folder.Path}"
