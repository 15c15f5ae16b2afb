/// The texts of --help.
module NormFree.Tests.Cli.HelpTests

open Expecto
open NormFree.Cli
open NormFree.Tests.Cli

let tests =
    testList
        "help"
        [ for command in
              [ ""
                "train"
                "eval"
                "predict"
                "summary"
                "data"
                "data get"
                "data check"
                "bench"
                "bench train"
                "bench infer"
                "bench kernels"
                "report"
                "import"
                "export"
                "verify"
                "completion"
                "reference" ] do
              let most = 45

              test $"of 'normfree {command}' fits a screen of {most} lines and 90 columns" {
                  let shown = Tool.runLine $"{command} --help" |> Tool.succeeds
                  let lines = Tool.lines shown.Out
                  Expect.isLessThanOrEqual lines.Length most "lines"

                  for line in lines do
                      Expect.isLessThanOrEqual line.Length 90 $"columns of: {line}"
              }

          test "and the reference do not depend on the number of processors" {
              let reference = (Tool.runProcessOn 3 [ "reference" ] |> Tool.succeeds).Out
              Expect.equal (reference.Trim()) ((Reference.markdown ()).Trim()) "on three processors"
              Expect.stringContains reference "from 1 to 4 times the number of processors" "the bound"
          }

          test "of 'train' shows the options that most trainings need, and '--help all' shows all of them" {
              let shown line = (Tool.runLine line |> Tool.succeeds).Out
              let short, whole = shown "train --help", shown "train --help all"
              let listed (text: string) (spec: OptionSpec) = text.Contains $"\n  {spec.Name} "
              let train = CommandTable.Networks.train
              let common, others = train.Options |> List.partition (fun spec -> List.contains spec.Name train.Common)
              Expect.hasLength common train.Common.Length "every name is an option's"

              for spec in common do
                  Expect.isTrue (listed short spec) $"{spec.Name} in the short help"

              for spec in others do
                  Expect.isFalse (listed short spec) $"{spec.Name} in the short help"

              for spec in train.Options do
                  Expect.isTrue (listed whole spec) $"{spec.Name} in the whole help"

              Expect.stringContains short $"{others.Length} more options: normfree train --help all" "the way to them"
              Expect.isLessThanOrEqual (Tool.lines whole).Length 90 "lines of the whole help"
              Expect.equal (shown "help train") short "help COMMAND"
              Expect.equal (shown "help train all") whole "help COMMAND all"
              Expect.equal (shown "eval --help all") (shown "eval --help") "a command that shows all options at once"
          }

          for group, _ in Commands.groups do
              test $"of the commands of '{group}' is readable at 60 columns" {
                  for line in Help.group 60 group do
                      Expect.isLessThanOrEqual line.Length 60 $"columns of: {line}"
              }

          for command in Commands.all do
              test $"of '{command.Name}' is readable at 60 columns" {
                  for showsAll in [ false; true ] do
                      for line in Help.command showsAll 60 command do
                          Expect.isLessThanOrEqual line.Length 60 $"columns of: {line}"
              }

              test $"of '{command.Name}' says each thing in one sentence" {
                  for spec in command.Options do
                      Expect.stringEnds spec.About "." spec.Name
                      Expect.isFalse (spec.About.TrimEnd('.').Contains ". ") $"{spec.Name}: {spec.About}"
              }

              test $"every default of '{command.Name}' is a valid value" {
                  for spec in command.Options do
                      if spec.Default <> "" then
                          Expect.isNone (spec.Check spec.Default) spec.Name
              }

          test "the version is one line" {
              Expect.stringStarts (Tool.runProcess [ "--version" ] |> Tool.succeeds).Out "normfree " "version"
          } ]
