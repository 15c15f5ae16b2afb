namespace NormFree.Cli

open System
open System.IO
open System.Threading
open NormFree.Interop
open NormFree.Runs
open NormFree.Networks

/// <summary><c>normfree export</c>.</summary>
[<RequireQualifiedAccess>]
module internal ExportCommand =

    let private write (args: Arguments) format =
        match format with
        | ExportFormat.PyTorch ->
            if args.Has Options.Files.flatWeights then
                Export.pytorchFlat
            else
                Export.pytorch
        | ExportFormat.Safetensors -> Export.safetensors
        | ExportFormat.Onnx ->
            Export.onnx (OnnxRuntime()) (if args.Has Options.Files.dynamicBatch then AnyNumber else OneImage)
        | ExportFormat.Packed -> Export.packed

    let private print (out: string) (comparison: Comparison) =
        if comparison.Agrees then
            Output.line $"{out}: {FileInfo(out).Length:N0} bytes"

        Output.line $"compared: {comparison.What}"
        let remark = if comparison.Remark = "" then "" else $" ({comparison.Remark})"
        Output.line $"largest difference: {comparison.Largest:G3}{remark}"

    /// Formats that other programs run are compared by their values, of which NaN equals nothing.
    let private requireFinite (path: string) format (checkpoint: Checkpoint) =
        match format, Import.nonFinite checkpoint.Network with
        | (ExportFormat.Onnx | ExportFormat.Packed), (_ :: _ as names) ->
            let list = String.concat ", " (NormFree.Formats.Printable.List names)

            raise (
                TrainingException
                    $"{path} has NaN or infinity in {list}. Give an earlier checkpoint, or export it as pytorch or safetensors."
            )
        | _ -> ()

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        let format = args.Get Options.Files.format
        let path = ZooFile.checkpoint (args.Get Options.Files.checkpoint)
        let out = args.Get Options.Files.file

        if format <> ExportFormat.Onnx && args.Has Options.Files.dynamicBatch then
            raise (UsageException "--dynamic-batch is for --format onnx.")

        if format <> ExportFormat.PyTorch && args.Has Options.Files.flatWeights then
            raise (UsageException "--flat-weights is for --format pytorch.")

        if Path.GetFullPath path = Path.GetFullPath out then
            raise (UsageException "--out is the checkpoint itself: name another file.")

        NetworkFile.require path
        use checkpoint = Checkpoint.load (Checkpoint.precision path) path
        requireFinite path format checkpoint
        cancellation.ThrowIfCancellationRequested()
        let comparison = write args format checkpoint out
        print out comparison

        if not comparison.Agrees then
            raise (
                TrainingException
                    $"The exported network differs from {path}, so {out} was not written. Check that its weights are finite, or report this."
            )
