namespace NormFree.Cli

open System
open System.IO
open Argu
open NormFree.Interop
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training

/// <summary><c>normfree export</c>.</summary>
[<RequireQualifiedAccess>]
module ExportCommand =

    let private batch (args: ParseResults<ExportArgs>) = if args.Contains Dynamic_Batch then AnyNumber else OneImage

    let private write (args: ParseResults<ExportArgs>) format =
        match format with
        | ExportFormat.PyTorch -> Export.pytorch
        | ExportFormat.Safetensors -> Export.safetensors
        | ExportFormat.Onnx -> Export.onnx (OnnxRuntime()) (batch args)
        | ExportFormat.Packed -> Export.packed

    let private print (out: string) (comparison: Comparison) =
        if comparison.Agrees then
            Console.WriteLine $"{out}: {FileInfo(out).Length:N0} bytes"

        Console.WriteLine $"compared: {comparison.What}"
        let remark = if comparison.Remark = "" then "" else $" ({comparison.Remark})"
        Console.WriteLine $"largest difference: {comparison.Largest:G3}{remark}"

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<ExportArgs>) =
        let format = Choices.exportFormat (args.GetResult ExportArgs.Format)
        let path, out = args.GetResult ExportArgs.Checkpoint, args.GetResult ExportArgs.Out

        if format <> ExportFormat.Onnx && args.Contains Dynamic_Batch then
            raise (UsageException "--dynamic-batch is for --format onnx.")

        if Path.GetFullPath path = Path.GetFullPath out then
            raise (UsageException "--out is the checkpoint itself: name another file.")

        use checkpoint = Checkpoint.load (Checkpoint.precision path) path
        let comparison = write args format checkpoint out
        print out comparison

        if not comparison.Agrees then
            raise (
                TrainingException
                    $"The exported network differs from {path}, so {out} was not written. Check that its weights are finite, or report this."
            )
