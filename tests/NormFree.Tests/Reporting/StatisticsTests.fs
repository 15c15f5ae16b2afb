module NormFree.Tests.Reporting.StatisticsTests

open System
open Expecto
open NormFree.Reporting
open NormFree.Tests.Reporting

let private close = Expect.floatClose { absolute = 1e-9; relative = 1e-9 }

let tests =
    testList
        "statistics"
        [ test "a sample has a mean and a standard deviation with n − 1" {
              let sample = Statistics.sample [ 2.0; 4.0; 4.0; 4.0; 5.0; 5.0; 7.0; 9.0 ]
              close sample.Mean 5.0 "mean"
              close sample.Deviation (sqrt (32.0 / 7.0)) "deviation"
              close sample.StandardError (sqrt (32.0 / 56.0)) "error"
          }

          test "a single value has no standard deviation" {
              Expect.isTrue (Double.IsNaN (Statistics.sample [ 3.0 ]).Deviation) "deviation"
          }

          // Computed by numerical integration of the density with gamma functions.
          for freedom, t in
              [ 1.0, 12.706205
                1.5, 6.016663
                2.0, 4.302653
                3.448275862, 2.960730
                10.0, 2.228139
                100.0, 1.983972 ] do
              test $"Student's t for a 95 %% interval with {freedom} degrees of freedom" {
                  Expect.floatClose { absolute = 0.0; relative = 1e-4 } (Statistics.studentT freedom) t "t"
              }

          test "Welch's interval of two small samples" {
              let interval =
                  Statistics.welch (Statistics.sample [ 0.80; 0.81; 0.82 ]) (Statistics.sample [ 0.70; 0.71; 0.73 ])

              Expect.floatClose { absolute = 1e-5; relative = 0.0 } interval.Low 0.06545783 "low"
              Expect.floatClose { absolute = 1e-5; relative = 0.0 } interval.High 0.12787551 "high"
          }

          test "paired differences have Student's interval" {
              // Mean 0.012, standard deviation 0.002, t = 4.3027 with 2 degrees of freedom.
              let interval = Statistics.paired [ 0.60, 0.59; 0.662, 0.65; 0.714, 0.70 ]

              Expect.floatClose
                  { absolute = 1e-6; relative = 0.0 }
                  interval.Low
                  (0.012 - 4.302653 * 0.002 / sqrt 3.0)
                  "low"

              Expect.floatClose
                  { absolute = 1e-6; relative = 0.0 }
                  interval.High
                  (0.012 + 4.302653 * 0.002 / sqrt 3.0)
                  "high"
          }

          test "values are paired only if both sides have the same seeds, each once" {
              let values = List.map (fun seed -> seed, float seed)
              let isPaired a b = snd (Statistics.difference (values a) (values b))
              Expect.isTrue (isPaired [ 1; 2; 3 ] [ 3; 1; 2 ]) "in any order"
              Expect.isFalse (isPaired [ 1; 2; 3 ] [ 1; 2 ]) "one is missing"
              Expect.isFalse (isPaired [ 1; 1 ] [ 1; 1 ]) "a seed twice"
          }

          test "seeds that start from checkpoints of their own are one group" {
              let run seed =
                  { Samples.run "bn-free" 3 0.9 with
                      Name = $"s2-{seed}"
                      Configuration =
                          [ "starts from", $"runs/s1-bn-free-{seed}/stage1.last.safetensors"
                            "activations+weights: seed", string seed ] }

              Expect.hasLength (RunGroup.ofRuns [ run 1; run 2; run 3 ]) 1 "one group"

              let other =
                  { run 4 with
                      Configuration =
                          ("starts from", "runs/other/stage1.last.safetensors") :: (run 4).Configuration.Tail }

              Expect.hasLength (RunGroup.ofRuns [ run 1; other ]) 2 "another checkpoint"
          }

          test "equal values make an interval of one point" {
              let interval = Statistics.welch (Statistics.sample [ 0.8; 0.8 ]) (Statistics.sample [ 0.5; 0.5 ])
              Expect.equal interval { Low = 0.8 - 0.5; High = 0.8 - 0.5 } "a point"
          }

          test "runs that differ only in seed and machine are one group" {
              let run seed =
                  { Samples.run "bn-free" 3 0.9 with
                      Label = $"bn-free, seed {seed}"
                      Configuration =
                          [ "norm", "bn-free"
                            "activations: seed", string seed
                            "environment.processor", $"machine {seed}" ] }

              let other = { run 3 with Configuration = [ "norm", "bn-free"; "alpha", "0.3" ] }
              let groups = RunGroup.ofRuns [ run 1; other; run 2 ]

              Expect.equal
                  (groups |> List.map (fun group -> group.Label, group.Runs.Length))
                  [ $"bn-free ({(run 1).Name})", 2; $"bn-free ({other.Name})", 1 ]
                  "groups"

              Expect.equal (RunGroup.ofRuns [ run 1; run 2 ] |> List.map _.Label) [ "bn-free" ] "one label"
          } ]
