namespace NormFree.Experiments

open System
open System.Diagnostics
open System.Formats.Tar
open System.Globalization
open System.IO
open System.Text
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open NormFree.Formats
open NormFree.Kernels.Simd
open NormFree.Networks
open NormFree.Reporting
open NormFree.Runs

/// <summary>Settings of the study of few images.</summary>
type FewImagesSettings =
    {
        /// Class folders of the archive's train and val, whose images no network has seen.
        Classes: string list
        /// Training images of each class.
        Train: int
        /// Test images of each class.
        Test: int
        Seeds: int
        Page: string
    }

/// <summary>One training with the tool's defaults.</summary>
type FewImagesResult =
    {
        Variant: string
        Seed: int
        /// Of the best network on the unseen images.
        Top1: float
        /// Processor time of the training, in seconds.
        Processor: float
        /// The processor that computed it, and its instruction set.
        Machine: string
    }

/// <summary>What the defaults of <c>normfree train</c>, which start from a network of the zoo, achieve on a flat folder of few photographs, and what
/// random weights achieve.</summary>
[<RequireQualifiedAccess>]
module FewImages =

    let private fromScratch, private fromNetwork = "random weights", "the zoo's network"

    /// <summary>The settings' options.</summary>
    let options: ScriptOption<FewImagesSettings> list =
        [ ScriptOptions.count "--seeds" (fun s n -> { s with Seeds = n })
          ScriptOptions.markdown "--out" (fun s file -> { s with Page = file }) ]

    /// The entries to extract: the first images of each class by name, and their paths below the target.
    let internal chosen (settings: FewImagesSettings) (entries: string seq) : Map<string, string> =
        let entries = Array.ofSeq entries

        Map
            [ for split, count, target in [ "train", settings.Train, "flat"; "val", settings.Test, "unseen" ] do
                  for label in settings.Classes do
                      let prefix = $"{split}/{label}/"

                      for entry in entries |> Array.filter (_.StartsWith(prefix)) |> Array.sort |> Array.truncate count do
                          entry, $"{target}/{label}/{Path.GetFileName entry}" ]

    /// Visits the files of an archive, not its folders.
    let private files (archive: string) (visit: TarEntry -> unit) =
        use reader = new TarReader(File.OpenRead archive)
        let mutable entry = reader.GetNextEntry()

        while not (isNull entry) do
            let found = nonNull entry

            if found.EntryType = TarEntryType.RegularFile || found.EntryType = TarEntryType.V7RegularFile then
                visit found

            entry <- reader.GetNextEntry()

    let private extract settings archive (folder: string) =
        let names = ResizeArray<string>()
        files archive (fun entry -> names.Add entry.Name)
        let chosen = chosen settings names

        files archive (fun entry ->
            match chosen.TryFind entry.Name with
            | Some path ->
                let path = Path.Combine(folder, path)
                Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
                entry.ExtractToFile(path, true)
            | None -> ())

    /// The shell's report of its children's processor time: its last line has user and system time.
    let internal processorTime (output: string) : float =
        let last = output.TrimEnd().Split('\n') |> Array.last

        Regex.Matches(last, @"(\d+)m([\d.]+)s")
        |> Seq.sumBy (fun time ->
            60.0 * float time.Groups[1].Value + Double.Parse(time.Groups[2].Value, CultureInfo.InvariantCulture))

    /// Runs the tool and returns its output with the shell's report of its processor time.
    let private tool (arguments: string list) : string =
        let run = [ "-c"; "\"$@\" && times"; "sh"; "artifacts/normfree/normfree" ] @ arguments
        use started = Process.Start(ProcessStartInfo("/bin/sh", run, RedirectStandardOutput = true)) |> nonNull
        let output = started.StandardOutput.ReadToEnd()
        started.WaitForExit()

        if started.ExitCode <> 0 then
            let words = String.concat " " arguments
            raise (ExperimentException $"normfree {words} failed:\n{output}")

        output

    /// Top-1 in the JSON that the tool prints.
    let private top1 (output: string) : float =
        let json = nonNull (JsonNode.Parse(output.Split('\n')[0]))
        (nonNull json["Top1"]).GetValue<float>()

    let private runName variant (seed: int) =
        let kind = if variant = fromScratch then "scratch" else "defaults"
        $"{kind}-{seed}"

    let private machine =
        lazy $"{Machine.processor.Value}, {string InstructionSets.Best |> _.ToLowerInvariant()}"

    let private train (folder: string) (seed: int) (variant: string) : FewImagesResult =
        let path = Path.Combine(folder, runName variant seed)
        let data name = [ "--dataset"; "folder"; "--data"; Path.Combine(folder, name) ]

        if Directory.Exists path then
            Directory.Delete(path, true)

        let seeds = if seed = 1 then [] else [ "--seed"; string seed ]
        let init = if variant = fromScratch then [ "--init"; "none" ] else []
        let output = tool ([ "train" ] @ data "flat" @ init @ seeds @ [ "--out"; path ])

        let accuracy =
            [ "eval"; "--checkpoint"; Path.Combine(path, "stage2.best.safetensors") ]
            @ data "unseen"
            @ [ "--test-split"; "."; "--json" ]
            |> tool

        { Variant = variant
          Seed = seed
          Top1 = top1 accuracy
          Processor = processorTime output
          Machine = machine.Value }

    /// The result of a run, read if an earlier call has finished it.
    let private resumed folder variant seed =
        let file = Path.Combine(folder, $"{runName variant seed}.json")

        match
            if File.Exists file then
                Json.read<FewImagesResult>(File.ReadAllText file)
            else
                Error ""
        with
        | Ok result -> result
        | Error _ ->
            let result = train folder seed variant

            AtomicFile.Write(
                file,
                (fun stream -> stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes(Json.write result))))
            )

            Console.WriteLine
                $"{result.Variant}, seed {seed}: {100.0 * result.Top1:f1} %%, {result.Processor:f0} s of processor time"

            result

    let private ofVariant variant (results: FewImagesResult list) =
        results |> List.filter (fun r -> r.Variant = variant)

    let private comparison results =
        let top1 variant = ofVariant variant results |> List.map (fun r -> r.Seed, 100.0 * r.Top1)

        match top1 fromNetwork, top1 fromScratch with
        | (_ :: _ :: _ as a), (_ :: _ :: _ as b) ->
            let interval, isPaired = Statistics.difference a b
            let points = List.averageBy snd a - List.averageBy snd b
            let kind = if isPaired then ", paired by seed" else ""

            let said =
                $"{points:f1} points more from the zoo's network than from random weights (95 %% interval of the difference{kind}: {interval.Low:f1} to \
                  {interval.High:f1} points)"

            [ (if interval.Low > 0.0 then
                   said + "."
               else
                   said + ": these seeds cannot show a difference.") ]
        | _ -> []

    let private table (results: FewImagesResult list) =
        { Columns = [ "start"; "seed"; "top-1 on unseen images"; "processor time" ]
          Rows =
            [ for variant, runs in List.groupBy _.Variant results do
                  for run in runs do
                      [ variant; string run.Seed; RunTable.percent run.Top1; $"{run.Processor:f0} s" ]

                  [ variant
                    "mean"
                    runs |> List.averageBy _.Top1 |> RunTable.percent
                    $"{List.averageBy _.Processor runs:f0} s" ] ] }

    /// <summary>The page about these results.</summary>
    let markdown (settings: FewImagesSettings) command (results: FewImagesResult list) : string =
        let classes = String.concat ", " settings.Classes

        [ yield "# Own images: the defaults on 60 photographs per class"
          yield
              $"How accurate is `normfree train --dataset folder --data FOLDER` with no other option, which starts from the zoo's network for CIFAR-10, and \
                how accurate is the same with `--init none`?"
          yield! comparison results
          yield Report.markdownTable (table results)
          yield
              $"A flat folder of {settings.Train} Imagenette images of each of the classes {classes}; the tool holds out a fifth of them. Accuracy of \
                `stage2.best.safetensors` on {settings.Test * settings.Classes.Length} other images of these classes, which no training has seen. \
                Processor time of the whole command, in user and system mode, over all threads."
          yield (results |> List.map _.Machine |> List.distinct |> String.concat " and ") + "."
          yield
              "The zoo's network was trained on CIFAR-10, which has none of these classes and none of these images: \
               [its card](../../docs/zoo/cifar10-reactnet18.md)."
          yield $"```sh\n{command}\n```" ]
        |> String.concat "\n\n"
        |> fun text -> text + "\n"

    let private study settings archive command =
        let folder = Path.GetFullPath "runs/own-images"
        extract settings archive folder

        let results =
            [ for variant in [ fromNetwork; fromScratch ] do
                  for seed in 1 .. settings.Seeds -> resumed folder variant seed ]

        let bytes = UTF8Encoding(false).GetBytes(markdown settings command results)
        AtomicFile.Write(settings.Page, (fun stream -> stream.Write(ReadOnlySpan bytes)))
        Console.WriteLine $"Written: {settings.Page}"

    /// <summary>Runs the study: trains whatever has not been trained yet, and writes the page.</summary>
    let run (commandLine: string[]) (defaults: FewImagesSettings) =
        let command = "dotnet fsi experiments/few-images.fsx"

        match List.ofArray commandLine with
        | script :: archive :: rest when not (archive.StartsWith '-') ->
            match ScriptOptions.parse options defaults rest with
            | Ok settings ->
                let archive = Path.GetFullPath archive

                Environment.CurrentDirectory <-
                    Path.GetFullPath(Path.Combine(string (Path.GetDirectoryName script), ".."))

                study settings archive $"{command} {ScriptOptions.display (List.ofArray commandLine[1..])}"
            | Error problem ->
                raise (ExperimentException(ScriptOptions.usage $"{command} DATA" options + "\n" + problem))
        | _ -> raise (ExperimentException(ScriptOptions.usage $"{command} DATA" options))
