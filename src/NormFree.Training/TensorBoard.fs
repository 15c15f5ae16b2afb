namespace NormFree.Training

open System
open System.IO
open FSharp.Reflection
open NormFree.Formats.TensorBoard
open NormFree.Networks
open NormFree.Runs

/// <summary>Writes one TensorBoard event file of a stage. The first event creates the file.</summary>
/// <remarks>Throws IOException or UnauthorizedAccessException if an event cannot be written. NaN and infinity are not written.</remarks>
[<Sealed>]
type internal TensorBoard(folder: RunFolder, stage: int) =

    /// The columns that become scalars: their names and values.
    static let scalars =
        [ for property in FSharpType.GetRecordFields typeof<LayerSample> do
              match property.PropertyType with
              | kind when kind = typeof<float> ->
                  ColumnFile.nameOf property, (fun (row: LayerSample) -> property.GetValue row :?> float)
              | kind when kind = typeof<int> && property.Name = nameof Unchecked.defaultof<LayerSample>.DeadChannels ->
                  ColumnFile.nameOf property, (fun row -> float (property.GetValue row :?> int))
              | _ -> () ]

    let writer =
        lazy
            (if not (Directory.Exists folder.Path) then
                 raise (DirectoryNotFoundException $"The folder {folder.Path} does not exist.")

             new EventFile(Path.Combine(folder.TensorBoard, $"stage{stage}")))

    let scalar step (tag: string, value: float) =
        if Double.IsFinite value then
            writer.Value.AddScalar(tag, float32 value, step)

    /// <summary>Writes a layer's scalars, such as <c>layer1.0.binary_conv/variance</c>, at a step of the stage.</summary>
    member _.Add(row: LayerSample, step: int) =
        for name, value in scalars do
            scalar step ($"{row.Layer}/{name}", value row)

    /// <summary>Writes the results of an epoch that ended at a step of the stage.</summary>
    member _.Add(record: EpochRecord, step: int) =
        [ "epoch/train_loss", record.Train.Loss
          "epoch/train_top1", record.Train.Top1
          "epoch/test_loss", record.Test.Loss
          "epoch/test_top1", record.Test.Top1
          "epoch/learning_rate", record.LearningRate
          "epoch/clipped", record.Clipped ]
        |> List.iter (scalar step)

    /// <summary>Writes a histogram of a layer's fractions of +1 by channel, at the end of an epoch.</summary>
    member _.Add(layer: string, channels: ChannelSample list, step: int) =
        let fractions = [| for channel in channels -> channel.Positive |]
        writer.Value.AddHistogram($"{layer}/positive_of_channels", ReadOnlySpan fractions, 0.0, 1.0, step)
