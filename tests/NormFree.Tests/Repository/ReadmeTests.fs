/// README's examples are compiled, and its links lead to files.
module NormFree.Tests.Repository.ReadmeTests

open System
open System.IO
open System.Text.RegularExpressions
open Expecto
open NormFree.Tests

let private read (path: string) = File.ReadAllText(Path.Combine(repository, path))

let private readme = lazy (read "README.md")

let private block language =
    let found = Regex.Match(readme.Value, $"```{language}\n(.*?)```", RegexOptions.Singleline)
    Expect.isTrue found.Success $"README has a {language} block"
    found.Groups[1].Value.Trim()

/// README omits the module declaration.
let private withoutModule (text: string) = Regex.Replace(text, @"^module .*\n", "").Trim()

let private links =
    lazy
        [ for link in Regex.Matches(readme.Value, @"\]\(([^)#:]+)\)") do
              link.Groups[1].Value ]

let tests =
    testList
        "README"
        [ test "the F# example is compiled" {
              Expect.equal
                  (block "fsharp")
                  (withoutModule (read "tests/NormFree.Tests/Repository/TrainExample.fs"))
                  "F# example"
          }
          test "the C# example is compiled" {
              Expect.equal (block "csharp") ((read "tests/NormFree.Examples/Program.cs").Trim()) "C# example"
          }
          test "it starts with the two commands" {
              let first = readme.Value.IndexOf("dotnet fsi build.fsx\n", StringComparison.Ordinal)
              let second = readme.Value.IndexOf("dotnet fsi build.fsx -t Test\n", StringComparison.Ordinal)
              Expect.isTrue (first > 0 && second > first && second < 1500) "both commands near the top"
          }
          test "links lead to existing files" {
              for link in links.Value do
                  let path = Path.Combine(repository, link)
                  Expect.isTrue (File.Exists path || Directory.Exists path) $"{link} exists"
          } ]
