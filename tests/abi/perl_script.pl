# What abi.perl does. The output depends on nothing but this text.
use strict;
use warnings;

my $seed = 65537;
sub draw { $seed = ($seed * 16807) % 2147483647; return $seed % shift }

# Records in nested structures, dropped and made again.
my %table;
for my $step (1 .. 150_000) {
    my $key = 'k' . draw(7_000);
    push @{ $table{$key}{steps} }, $step;
    $table{$key}{text} = 'x' x draw(200);
    delete $table{ 'k' . draw(7_000) } if $step % 3 == 0;
}
my $sum = 0;
$sum += @{ $table{$_}{steps} } * length $table{$_}{text} for keys %table;
print scalar(keys %table), " records, $sum\n";

# One string that grows to megabytes, is split, sorted and joined.
my $text = '';
$text .= chr(97 + draw(26)) . (draw(9) == 0 ? ' ' : '') for 1 .. 400_000;
my @words = split / /, $text;
my @sorted = sort { length $a <=> length $b or $a cmp $b } @words;
print scalar(@sorted), " words, first $sorted[0], last $sorted[-1]\n";
my $joined = join '-', @sorted;
(my $changed = $joined) =~ s/([aeiou])(\w)/$2$1/g;
my $matches = () = $changed =~ /\b\w{3,5}\b/g;
print unpack('%32C*', $changed), " $matches\n";

# Closures and recursion.
my @counters = map { my $n = $_; sub { return $n += shift } } 1 .. 5_000;
my $total = 0;
$total += $_->(draw(10)) for @counters, @counters;
print "closures: $total\n";

sub depth { my ($n, @rest) = @_; return $n == 0 ? scalar @rest : depth($n - 1, @rest, $n) }
{ no warnings 'recursion'; print 'depth: ', depth(400), "\n"; }

# Children that inherit all of it and answer through a pipe.
for my $child (1 .. 6) {
    my $pid = open(my $pipe, '-|') // die "fork: $!";
    if ($pid == 0) {
        delete $table{$_} for grep { draw(2) } sort keys %table;
        print "child $child: ", scalar(keys %table), "\n";
        exit 0;
    }
    print while <$pipe>;
    close $pipe or die "child: $?";
}
