namespace NormFree.Cli

open System
open System.IO
open System.Text
open System.Text.RegularExpressions
open NormFree.Formats
open NormFree.Zoo

/// <summary>The pages of the zoo in the documentation: one page for each network, and a table of all.</summary>
[<RequireQualifiedAccess>]
module internal ZooPages =

    let private first, private last = "<!-- table of 'normfree zoo add' -->", "<!-- end of the table -->"

    /// <summary>The page of a network, below the folder of a checkout.</summary>
    let page checkout name = Path.Combine(checkout, "docs", "zoo", name + ".md")

    /// <summary>The page with the table.</summary>
    let overview checkout = Path.Combine(checkout, "docs", "zoo.md")

    let private row (card: ModelCard) =
        let checkpoint = if isNull card.Checkpoint then "no" else "yes"

        $"| [{card.Name}](zoo/{card.Name}.md) | {card.Data.Name} | {100.0 * card.Accuracy.Top1():F2} %% | {float card.Packed.Bytes / 1000.0:F0} kB \
          | {card.Latency.MedianMs:F2} ms | {checkpoint} |"

    /// <summary>The table of these networks, by name.</summary>
    let table (cards: ModelCard list) =
        [ "| network | data | top-1 | packed file | latency | checkpoint |"
          "|---|---|---|---|---|---|"
          yield! cards |> List.sortBy _.Name |> List.map row ]
        |> String.concat "\n"

    /// <summary>The text of the overview with this table in place of its own.</summary>
    let withTable (table: string) (text: string) =
        let pattern = Regex.Escape first + ".*?" + Regex.Escape last
        Regex.Replace(text, pattern, MatchEvaluator(fun _ -> $"{first}\n{table}\n{last}"), RegexOptions.Singleline)

    let private writeText path (text: string) =
        AtomicFile.Write(path, (fun stream -> stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes text))))

    /// <summary>Writes the page of a network, and the table of the networks of all cards.</summary>
    let write checkout (card: ModelCard) (cards: ModelCard list) =
        Directory.CreateDirectory(Path.Combine(checkout, "docs", "zoo")) |> ignore
        writeText (page checkout card.Name) (card.ToMarkdown())
        let overview = overview checkout
        File.ReadAllText overview |> withTable (table cards) |> writeText overview
