#!/bin/bash
# sqlite3 builds a table and indexes, queries and vacuums; the database files must be the same.
source "$(dirname "$0")/lib.sh"

scenario()
{
    sqlite3 base.db << 'SQL'
pragma page_size = 4096;
pragma cache_size = -40000;
create table sale(id integer primary key, customer integer, name text, amount real);
insert into sale(customer, name, amount)
    with recursive draw(i, x) as (
        select 1, 12345
        union all
        select i + 1, (x * 16807) % 2147483647 from draw where i < 300000)
    select x % 5000, printf('name %x %d', x, x % 97), (x % 100000) / 100.0 from draw;
create index sale_by_name on sale(name, amount);
create index sale_by_customer on sale(customer);
analyze;
select count(*), sum(amount), min(name), max(name) from sale;
select customer, count(*), total(amount) from sale group by customer order by 3 desc limit 20;
select a.name, b.amount from sale a join sale b on b.customer = a.id
    where a.id between 100 and 140 order by 1, 2 limit 200;
select group_concat(name, ',') from (select distinct name from sale order by name limit 2000);
update sale set name = upper(name) where customer % 3 = 0;
delete from sale where id % 4 = 0;
vacuum;
pragma integrity_check;
SQL
}
compare 3 sqlite3
