namespace NormFree.Training

open System
open System.IO
open FSharp.Reflection
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// <summary>TensorBoard's event files of one stage. An object writes one file, which is made at the first event.</summary>
/// <remarks>Throws IOException or UnauthorizedAccessException where an event cannot be written. Values that are not finite are left out.</remarks>
[<Sealed>]
type internal TensorBoard(folder: RunFolder, stage: int) =

    /// The numbers of a row, by the names of their columns.
    static let figures =
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
                 raise (DirectoryNotFoundException $"There is no folder {folder.Path}.")

             torch.utils.tensorboard.SummaryWriter(Path.Combine(folder.TensorBoard, $"stage{stage}")))

    let scalar step (tag: string, value: float) =
        if Double.IsFinite value then
            writer.Value.add_scalar (tag, float32 value, step)

    /// <summary>The figures of a layer at a step of the stage: <c>layer1.0.binary_conv/variance</c> and so on.</summary>
    member _.Add(row: LayerSample, step: int) =
        for name, value in figures do
            scalar step ($"{row.Layer}/{name}", value row)

    /// <summary>How an epoch went that ended at a step of the stage.</summary>
    member _.Add(record: EpochRecord, step: int) =
        [ "epoch/train_loss", record.Train.Loss
          "epoch/train_top1", record.Train.Top1
          "epoch/test_loss", record.Test.Loss
          "epoch/test_top1", record.Test.Top1
          "epoch/learning_rate", record.LearningRate
          "epoch/clipped", record.Clipped ]
        |> List.iter (scalar step)

    /// <summary>How the channels of a layer share the range from 0 to 1 at the end of an epoch.</summary>
    member _.Add(layer: string, channels: ChannelSample list, step: int) =
        use _ = torch.NewDisposeScope()
        let shares = torch.tensor [| for channel in channels -> channel.Positive |]
        writer.Value.add_histogram ($"{layer}/positive_of_channels", shares, step)
