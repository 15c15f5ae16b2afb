namespace NormFree.Experiments

open System
open System.IO
open System.Text
open System.Text.RegularExpressions
open NormFree.Formats

/// <summary>All experiment pages as one, <c>docs/results.md</c>.</summary>
[<RequireQualifiedAccess>]
module ResultsPage =

    /// The pages that matter most, in this order; others follow by name.
    let private first =
        [ "better-than-batch-norm"
          "real-shortcuts"
          "ab-bnn"
          "norms-cifar10"
          "norms-cifar10-full-width"
          "norms-imagenette"
          "fashion-mnist" ]

    let private rank name = first |> List.tryFindIndex ((=) name) |> Option.defaultValue first.Length

    /// The folder of the pages, from docs.
    let private folder = "../experiments/results"

    /// A link of an experiment page, as docs write it.
    let private relinked (link: Match) =
        let target = link.Groups[1].Value

        if target.StartsWith("../../docs/", StringComparison.Ordinal) then
            $"]({target.Substring 11})"
        elif target.Contains ':' then
            link.Value
        else
            $"]({folder}/{target})"

    /// One page as a section, without its plot.
    let private section (name: string, text: string) =
        let lines =
            [ for line in text.Trim().Split '\n' do
                  if line.StartsWith("# ", StringComparison.Ordinal) then
                      $"#{line} ({name})"
                  elif not (line.StartsWith("![", StringComparison.Ordinal)) then
                      Regex.Replace(line, @"\]\(<?([^)>]+)>?\)", relinked) ]

        let body = Regex.Replace(String.concat "\n" lines, @"\n{3,}", "\n\n")
        $"{body}\n\n[Page with the plot]({folder}/{name}.md)."

    /// Benchmarks have no variants.
    let private isExperiment (_, text: string) = text.Contains "| variant |"

    /// <summary>The text, from the names and texts of the pages.</summary>
    let markdown (pages: (string * string) list) : string =
        let experiments, benchmarks =
            pages |> List.sortBy (fun (name, _) -> rank name, name) |> List.partition isExperiment

        [ yield "# Results"
          yield
              "All experiments with seeds, budget, processor, training time, version and command. The scripts of `experiments` write the pages and collect \
               them here. Accuracies are of test images after the last epoch."
          yield! experiments |> List.map section
          yield "## Speed and scaling"
          yield
              [ for name, text in benchmarks do
                    let title = (text.Split '\n')[0]
                    $"- [{title.TrimStart('#', ' ')}]({folder}/{name}.md)" ]
              |> String.concat "\n" ]
        |> String.concat "\n\n"
        |> fun text -> text + "\n"

    /// <summary>The names and texts of a repository's pages.</summary>
    let pages (root: string) =
        [ for path in Directory.GetFiles(Path.Combine(root, "experiments", "results"), "*.md") ->
              string (Path.GetFileNameWithoutExtension path), File.ReadAllText path ]

    /// <summary>Collects a repository's pages into its <c>docs/results.md</c>.</summary>
    let write (root: string) =
        let bytes = root |> pages |> markdown |> UTF8Encoding(false).GetBytes
        AtomicFile.Write(Path.Combine(root, "docs", "results.md"), fun stream -> stream.Write(ReadOnlySpan bytes))
