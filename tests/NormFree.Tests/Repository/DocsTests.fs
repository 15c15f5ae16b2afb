/// The documentation's links lead somewhere, its F# and C# blocks compile, and its command-line reference is current.
module NormFree.Tests.Repository.DocsTests

open System
open System.IO
open System.Text.RegularExpressions
open Expecto
open NormFree.Cli
open NormFree.Experiments
open NormFree.Tests

let private root = repository

let private pages =
    [ yield! [ "README.md"; "CONTRIBUTING.md"; "CHANGELOG.md" ]
      for folder in [ "docs"; "experiments/results" ] do
          for path in Directory.GetFiles(Path.Combine(root, folder), "*.md", SearchOption.AllDirectories) do
              Path.GetRelativePath(root, path)
      for folder in Directory.GetDirectories(Path.Combine(root, "src"), "NormFree.*") do
          Path.GetRelativePath(root, Path.Combine(folder, "README.md")) ]

let private read (path: string) = File.ReadAllText(Path.Combine(root, path))

let private withoutCode text = Regex.Replace(text, "```.*?```", "", RegexOptions.Singleline)

/// The anchor that GitHub and docfx give a heading.
let private anchorOf (heading: string) =
    let letters = heading.Trim().ToLowerInvariant().Replace(' ', '-')
    Regex.Replace(Regex.Replace(letters, @"\[([^\]]*)\]\([^)]*\)", "$1"), @"[^\p{L}\p{N}_-]", "")

let private anchors path =
    [ for heading in Regex.Matches(withoutCode (read path), @"^#+ +(.+)$", RegexOptions.Multiline) do
          anchorOf heading.Groups[1].Value ]

/// What is wrong with a page's link, if anything.
let private problem (page: string) (link: string) =
    let parts = link.Split('#', 2)
    let folder = Path.GetDirectoryName(Path.Combine(root, page)) |> string

    let target =
        if parts[0] = "" then
            Path.Combine(root, page)
        else
            Path.GetFullPath(Path.Combine(folder, parts[0]))

    if not (File.Exists target || Directory.Exists target) then
        Some $"{page}: {link} does not exist"
    elif parts.Length > 1 && not (List.contains parts[1] (anchors (Path.GetRelativePath(root, target)))) then
        Some $"{page}: {link} has no such heading"
    else
        None

let private brokenLinks page =
    [ for link in Regex.Matches(withoutCode (read page), @"\]\(([^)\s]+)\)") do
          let target = link.Groups[1].Value.Trim('<', '>')

          if not (target.Contains "://") then
              yield! Option.toList (problem page target) ]

let private blocks language page =
    [ for block in
          Regex.Matches(read page, $"^```{language}\n(.*?)^```", RegexOptions.Singleline ||| RegexOptions.Multiline) ->
          block.Groups[1].Value ]

/// Code without white space, so that its layout may differ, and without the lines that open namespaces.
let private code (text: string) =
    text.Split '\n'
    |> Array.filter (fun line -> not (Regex.IsMatch(line, "^(#load|open |using [A-Z])")))
    |> String.concat ""
    |> fun lines -> Regex.Replace(lines, @"\s", "")

let private compiled =
    lazy
        ([ "tests/NormFree.Tests/Repository/DocsSnippets.fs"
           "tests/NormFree.Tests/Repository/PackageSnippets.fs"
           "tests/NormFree.Tests/Repository/TrainExample.fs"
           "tests/NormFree.Examples/Program.cs"
           "tests/NormFree.Examples/OwnNetwork.cs"
           "tests/NormFree.Examples/Pretrained.cs"
           "tests/NormFree.Examples/PackageExamples.cs"
           "experiments/service/Service.cs" ]
         |> List.map (read >> code)
         |> String.concat "\n")

let tests =
    testList
        "docs"
        [ for page in pages do
              test $"the links of {page} lead to files and headings" {
                  Expect.isEmpty (brokenLinks page) "broken links"
              }

              for language in [ "fsharp"; "csharp" ] do
                  for number, block in List.indexed (blocks language page) do
                      test $"{language} block {number + 1} of {page} compiles" {
                          Expect.stringContains compiled.Value (code block) "a compiled snippet"
                      }

          test "the collected results are current" {
              let pages = ResultsPage.pages root

              Expect.equal
                  (read "docs/results.md")
                  (ResultsPage.markdown pages)
                  "run any script of experiments, which writes docs/results.md"
          }

          test "the command-line reference is current" {
              Expect.equal
                  ((read "docs/command-line.md").Trim())
                  ((Reference.markdown ()).Trim())
                  "run 'normfree reference > docs/command-line.md'"
          } ]
