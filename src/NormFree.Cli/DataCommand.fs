namespace NormFree.Cli

open System
open System.Threading
open NormFree.Data
open NormFree.Formats
open NormFree.Runs

/// <summary><c>normfree data get</c> and <c>normfree data check</c>.</summary>
[<RequireQualifiedAccess>]
module internal DataCommand =

    /// The data set to download, from the mirror if one is given.
    let private remote (args: Arguments) =
        let name = args.Operands.Head

        match RemoteDatasets.tryFind name, args.TryGet Options.Files.mirror with
        | None, _ ->
            let known = String.concat ", " [ for known in RemoteDatasets.all -> known.Name ]
            raise (UsageException $"there is no data set '{name}' to download: choose one of {known}.")
        | Some remote, None -> remote
        | Some remote, Some mirror ->
            { remote with Files = remote.Files |> List.map (RemoteDatasets.fromMirror mirror) }

    /// Prints at most one line per second, in place on a terminal.
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

    let private getFile folder retries remote (cancellation: CancellationToken) =
        let request = { Download.request remote folder with Retries = retries }
        let result = (Download.run request (progress ()) cancellation).GetAwaiter().GetResult()

        if not Console.IsOutputRedirected then
            Console.WriteLine()

        match result with
        | Ok path -> Output.line $"{path} is complete and its checksum is right."
        | Error error -> raise (DataException(string error))

    /// <summary>Runs <c>normfree data get</c>.</summary>
    let get (args: Arguments) (cancellation: CancellationToken) =
        let dataset = remote args
        let folder = IO.Path.Combine(args.Get Options.Files.file, dataset.Folder)
        Output.prose $"{dataset.Name}: {dataset.Licence}."

        for remote in dataset.Files do
            getFile folder (args.Get Options.Files.retries) remote cancellation

    /// Reads and preprocesses every image as training and testing would.
    let private checkSource name (options: LoaderOptions) (source: ImageSource) (cancellation: CancellationToken) =
        let bad =
            [ for i in 0 .. source.Count - 1 do
                  cancellation.ThrowIfCancellationRequested()

                  match source.Load i |> Result.bind (Loader.prepare options) with
                  | Ok _ -> ()
                  | Error why ->
                      Output.prose $"{source.Name i}: {why}"
                      i ]

        Output.prose $"{name}: {source.Count} images, {bad.Length} of them cannot be read"
        bad.Length

    /// The images of each class, for up to a hundred classes.
    let private counts (dataset: Dataset) =
        let count (source: ImageSource) = Seq.init source.Count source.Label |> Seq.countBy id |> Map.ofSeq

        let train, test = count dataset.Train, count dataset.Test
        let of' counts label = Map.tryFind label counts |> Option.defaultValue 0

        [ for label, name in List.indexed (List.truncate 100 (List.ofArray dataset.Classes)) ->
              $"  {Printable.Text name}: {of' train label} training and {of' test label} test images" ]

    /// <summary>Runs <c>normfree data check</c>.</summary>
    let check (args: Arguments) (cancellation: CancellationToken) =
        let options = Images.options args |> Images.withoutTraining |> Images.withoutTest
        let kind = args.Get Options.Data.dataset
        let dataset = Images.load kind (args.TryGet Options.Data.dataPath) options
        Output.prose $"{Printable.Text dataset.Name}: {dataset.Classes.Length} classes"
        counts dataset |> List.iter Output.line
        dataset.Notes |> List.iter Output.prose

        if dataset.Test.Count = 0 then
            Output.prose
                "there are no labelled test images: normfree train holds out a fifth of each class, unless --held-out X or --test-split NAME is given"

        if kind = DatasetKind.ImageFolder then
            ClassSizes.problem dataset |> Option.iter (fun problem -> Output.warn (string problem))
            ClassSizes.warning ImageDefaults.minImagesPerClass dataset |> Option.iter Output.warn

        let bad =
            checkSource "train" (Loader.training dataset 1) dataset.Train cancellation
            + checkSource "test" (Loader.testing dataset 1) dataset.Test cancellation

        if bad > 0 then
            raise (DataException $"unreadable images: {bad}. Repair or remove them, or train without --strict.")
