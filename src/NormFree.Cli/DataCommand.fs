namespace NormFree.Cli

open System
open System.Threading
open Argu
open NormFree.Data
open NormFree.Runs
open NormFree.Networks
open NormFree.Training

/// <summary><c>normfree data</c>.</summary>
[<RequireQualifiedAccess>]
module DataCommand =

    let private remote (args: ParseResults<GetArgs>) =
        let name = args.GetResult Name

        match Download.tryFind name, args.TryGetResult Mirror with
        | None, _ -> raise (UsageException $"there is nothing to get by the name '{name}': choose cifar10 or cifar100.")
        | Some remote, None -> remote
        | Some remote, Some mirror ->
            match Uri.TryCreate(mirror, UriKind.Absolute) with
            | true, address -> Download.fromMirror (nonNull address) remote
            | _ ->
                raise (UsageException $"--mirror takes an address such as https://example.org/cifar/, not '{mirror}'.")

    /// At most one line a second, in place on a terminal.
    let private progress () =
        let mutable next = DateTime.MinValue

        fun (p: DownloadProgress) ->
            if DateTime.UtcNow >= next || p.Received = p.Total then
                next <- DateTime.UtcNow + TimeSpan.FromSeconds(if Console.IsOutputRedirected then 10.0 else 1.0)
                let line = $"{float p.Received / 1e6:F1} of {float p.Total / 1e6:F1} MB"

                if Console.IsOutputRedirected then
                    Console.WriteLine line
                else
                    Console.Write $"\r{line}  "

    let private get (args: ParseResults<GetArgs>) =
        let request = Download.request (remote args) (args.GetResult(GetArgs.Out, "data"))

        Outcome.untilInterrupted "What has come so far is kept; the same command goes on with it." (fun cancellation ->
            let result = (Download.run request (progress ()) cancellation).GetAwaiter().GetResult()

            if not Console.IsOutputRedirected then
                Console.WriteLine()

            match result with
            | Ok path -> Console.WriteLine $"{path} is complete and its sum is right."
            | Error error -> raise (DataException(string error)))

    /// Reads and prepares every image, as a training or test would.
    let private checkSource name (options: LoaderOptions) (source: ImageSource) =
        let bad =
            [ for i in 0 .. source.Count - 1 do
                  match source.Load i |> Result.bind (Loader.prepare options) with
                  | Ok _ -> ()
                  | Error why ->
                      Console.WriteLine $"{source.Name i}: {why}"
                      i ]

        Console.WriteLine $"{name}: {source.Count} images, {bad.Length} of them cannot be read"
        bad.Length

    let private check (args: ParseResults<CheckArgs>) =
        let dataset =
            Images.load
                (Choices.dataset (args.GetResult CheckArgs.Dataset))
                (args.TryGetResult CheckArgs.Data)
                Catalogue.defaults

        Console.WriteLine
            $"{dataset.Name}: {dataset.Classes.Length} classes, network input {dataset.Size}×{dataset.Size}"

        let bad =
            checkSource "train" (Loader.training dataset 1) dataset.Train
            + checkSource "test" (Loader.testing dataset 1) dataset.Test

        if bad > 0 then
            raise (DataException $"{bad} images cannot be read: mend or remove them, or train without --strict.")

    /// <summary>Runs the command.</summary>
    let run (command: DataArgs) =
        match command with
        | Get args -> get args
        | Check args -> check args
